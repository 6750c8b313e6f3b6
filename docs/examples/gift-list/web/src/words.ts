/** What is written to stand behind a colon, as a sentence of its own. */
export const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
