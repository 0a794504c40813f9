/** Places sorted by a value: the lowest first, or the highest; what has no value comes last, in its order. */
export function sortedBy(values: ArrayLike<number>, direction: "lowest" | "highest", places?: ArrayLike<number>): number[] {
  const order = Array.from(places ?? { length: values.length }, (place, index) => (places ? (place as number) : index));
  const sign = direction === "lowest" ? 1 : -1;
  return order.sort((first, second) => {
    const [one, other] = [values[first], values[second]];
    if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other)) || first - second;
    return sign * (one - other) || first - second;
  });
}
