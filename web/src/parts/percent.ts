/** A share in percent; what is not 0 or 1 never reads as 0% or 100%. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return "not a number";
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1%";
  if (value < 100 && value > 99.9) return "> 99.9%";
  return `${value < 10 || value > 90 ? value.toFixed(1) : value.toFixed(0)}%`.replace(".0%", "%");
}
