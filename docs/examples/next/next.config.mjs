import { resolve } from 'node:path';

/** @type {import('next').NextConfig} */
export default {
  // Only because hookwire-client is a link into this repository here, with a React Query of its own for its tests: a page must have one.
  // With the package from npm leave this out.
  webpack: (config) => {
    config.resolve.alias['@tanstack/react-query'] = resolve('node_modules/@tanstack/react-query');
    return config;
  },
};
