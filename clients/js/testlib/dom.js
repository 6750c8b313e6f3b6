/* A page, for what needs one. Import it before React: its hot replacement takes hold of React when that is loaded. */
import { JSDOM } from 'jsdom';

const { window } = new JSDOM('<!doctype html><html lang="en"><body></body></html>', { url: 'http://localhost/', pretendToBeVisual: true });
const { document, navigator, HTMLElement, Node, Element, SVGElement } = window;
const page = { window, document, navigator, HTMLElement, Node, Element, SVGElement };
for (const [name, value] of Object.entries(page))
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });

/** Whether somebody sees the page. */
export function setHidden(isHidden) {
  Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
}
