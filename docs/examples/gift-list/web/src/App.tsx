import { useQueryClient } from '@tanstack/react-query';
import { HookwireProvider } from 'hookwire-client/react';
import { useEffect } from 'react';
import { Dashboard } from './Dashboard';
import { Login } from './Login';
import { logOut, openSession, useSessionState } from './session';
import { Toasts } from './Toasts';
import { sentence } from './words';

export function App() {
  const session = useSessionState();
  const queryClient = useQueryClient();

  useEffect(() => {
    if (session.name === 'out') queryClient.removeQueries({ queryKey: ['gift-list'] }); // the next person must not see it
  }, [session.name, queryClient]);

  switch (session.name) {
    case 'out':
      return <Login message={session.message} />;
    case 'opening':
      return <main className="centre" aria-busy="true" aria-label="Opening" />;
    case 'unreachable':
      return (
        <main className="centre">
          <div className="card sheet">
            <h1>Not there right now</h1>
            <p className="muted">{sentence(session.message)}</p>
            <div className="buttons">
              <button className="primary" onClick={openSession}>
                Try again
              </button>
              <button onClick={() => logOut()}>Log out</button>
            </div>
          </div>
        </main>
      );
    case 'in':
      return (
        <HookwireProvider client={session.realtime}>
          <Toasts>
            <Dashboard api={session.api} user={session.user} />
          </Toasts>
        </HookwireProvider>
      );
  }
}
