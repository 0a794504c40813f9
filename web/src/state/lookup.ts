/** Where an image lies in its part, by its number. */
export type Lookup = (number: number) => number;

/** Make a lookup that answers the place of a number, -1 where the part has it not. */
export function lookupOf(numbers: Int32Array): Lookup {
  let largest = -1;
  let plain = true;
  for (let k = 0; k < numbers.length; k++) {
    if (numbers[k] !== k) plain = false;
    if (numbers[k] > largest) largest = numbers[k];
  }
  if (plain) return (number) => (Number.isInteger(number) && number >= 0 && number < numbers.length ? number : -1);
  if (largest < 4 * numbers.length + 100_000) {
    const table = new Int32Array(largest + 1).fill(-1);
    for (let k = 0; k < numbers.length; k++) table[numbers[k]] = k;
    return (number) => (number >= 0 && number <= largest ? table[number] : -1);
  }
  const places = new Map<number, number>();
  for (let k = 0; k < numbers.length; k++) places.set(numbers[k], k);
  return (number) => places.get(number) ?? -1;
}
