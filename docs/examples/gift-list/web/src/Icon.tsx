/* The icons, drawn on 24 × 24. */
const PATHS = {
  gift: 'M4 9h16v4H4zM6 13v8h12v-8M12 9v12M12 9C8 9 7 7 7.500 5.500 8 3.500 11.500 4.500 12 9Zm0 0c4 0 5-2 4.500-3.500C16 3.500 12.500 4.500 12 9Z',
  pencil: 'M4 20l1-4L16.500 4.500l3 3L8 19zM14 7l3 3',
  bin: 'M5 7h14M10 7V4.500h4V7M7 7l1 13h8l1-13M10.500 11v5M13.500 11v5',
  plus: 'M12 5v14M5 12h14',
  check: 'M5 12.500l4.500 4.500L19 7.500',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M5.500 11h13v9h-13zM12 14.500v2',
  leave: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  cross: 'M6 6l12 12M18 6L6 18',
  cloud: 'M7 18a4 4 0 0 1-.5-8A6 6 0 0 1 18 11a3.500 3.500 0 0 1-.5 7zM4 4l16 16',
  route: 'M6 19a2 2 0 1 0 0-.1M18 5a2 2 0 1 0 0-.1M8 19h7a3 3 0 0 0 0-7H9a3 3 0 0 1 0-7h7',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
