const format = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' });
const whole = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', maximumFractionDigits: 0 });

/** Cents as people write them. */
export const money = (cents: number): string => (cents % 100 ? format : whole).format(cents / 100);

/** What somebody typed, in cents; null: nothing; undefined: no price. */
export function centsOf(text: string): number | null | undefined {
  const typed = text.trim().replace(/^\$/, '').replace(',', '.');
  if (!typed) return null;
  return /^\d{1,6}(\.\d{1,2})?$/.test(typed) ? Math.round(Number(typed) * 100) : undefined;
}
