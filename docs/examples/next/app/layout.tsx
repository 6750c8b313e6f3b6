import type { Metadata } from 'next';
import type { ReactNode } from 'react';
import { Providers } from '@/components/providers';
import { brokerUrl } from '@/lib/broker';
import './style.css';

export const metadata: Metadata = { title: 'A gift list, live' };
export const dynamic = 'force-dynamic'; // brokerUrl is read when the server runs, not when it is built

export default function RootLayout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>
        <Providers brokerUrl={brokerUrl}>{children}</Providers>
      </body>
    </html>
  );
}
