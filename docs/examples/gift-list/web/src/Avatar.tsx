/* A person as a round initial, in a colour of his own. */
const HUES = [158, 275, 22, 215, 330, 60, 110];

function hueOf(id: string): number {
  let sum = 0;
  for (const letter of id) sum = (sum * 17 + letter.charCodeAt(0)) % 9973;
  return HUES[sum % HUES.length]!;
}

export function Avatar({ id, name, size = 'small' }: { id: string; name: string; size?: 'tiny' | 'small' | 'large' }) {
  return (
    <span className={`avatar ${size}`} style={{ '--hue': hueOf(id) } as React.CSSProperties} aria-hidden="true">
      {name.slice(0, 1).toUpperCase()}
    </span>
  );
}
