import * as Hookwire from 'hookwire-client';

globalThis.Hookwire = Hookwire;
