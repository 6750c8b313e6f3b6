import { useConnectionStatus, usePresence } from 'hookwire-client/react';
import type { Api, User } from './api';
import { Avatar } from './Avatar';
import { Connection, Notice } from './Connection';
import { useGifts } from './gifts';
import { GiftListCard } from './GiftListCard';
import { Icon } from './Icon';
import { money } from './money';
import { ROLES, useNames } from './people';
import { logOut } from './session';
import { sentence } from './words';

function Presence({ topic, me }: { topic: string; me: string }) {
  const users = usePresence(topic);
  const { state } = useConnectionStatus();
  const nameOf = useNames();
  const isKnown = state === 'online' || state === 'degraded'; // without a connection they may be gone
  const sorted = [...users].sort((a, b) => Number(b.user_id === me) - Number(a.user_id === me) || a.user_id.localeCompare(b.user_id));
  return (
    <ul className="presence" aria-label={isKnown ? 'Who is here' : 'Who was here'} data-testid="presence" data-known={isKnown}>
      {sorted.map(({ user_id, connections }) => {
        const name = nameOf(user_id);
        const says = `${user_id === me ? 'You' : name}${connections > 1 ? `, in ${connections} windows` : ''}`;
        return (
          <li key={user_id} data-testid={`presence-${user_id}`} title={says}>
            <Avatar id={user_id} name={name} />
            <span className="hidden">{says}</span>
          </li>
        );
      })}
    </ul>
  );
}

export function Dashboard({ api, user }: { api: Api; user: User }) {
  const { data, error, refetch, actions } = useGifts(api, user);
  const others = data?.lists.filter((list) => list.owner_id !== user.id).flatMap((list) => list.gifts) ?? [];
  const open = others.filter(({ status }) => status === 'wanted');

  return (
    <>
      <header className="top">
        <div className="bar">
          <p className="brand">
            <img src="/gift.svg" alt="" /> <span>Family gifts</span>
          </p>
          <Connection />
          <Presence topic={`gift-list:${user.family_id}`} me={user.id} />
          <div className="me">
            <span>
              <strong data-testid="me">{user.name}</strong>
              <small>{ROLES[user.role]}</small>
            </span>
            <button className="quiet" data-testid="logout" onClick={() => logOut()} aria-label="Log out" title="Log out">
              <Icon name="leave" />
            </button>
          </div>
        </div>
        <Notice />
      </header>
      <main className="page">
        {data ? (
          <>
            <div className="headline">
              <h1>{data.family.name}</h1>
              <p className="muted">
                {open.length ? (
                  <>
                    <strong>{open.length}</strong> of {others.length} gifts for others are still to be found
                    {open.some(({ price }) => price) && <>, about <strong>{money(open.reduce((sum, { price }) => sum + (price ?? 0), 0))}</strong></>}.
                  </>
                ) : others.length ? (
                  'Every gift is taken care of.'
                ) : (
                  'Nobody wishes for anything yet.'
                )}
              </p>
            </div>
            <div className="lists">
              {data.lists.map((list) => (
                <GiftListCard key={list.id} list={list} user={user} actions={actions} />
              ))}
            </div>
          </>
        ) : error ? (
          <div className="card sheet" role="alert">
            <h1>The lists did not come</h1>
            <p className="muted">{sentence(error.message)}</p>
            <button className="primary" onClick={() => refetch()}>
              Try again
            </button>
          </div>
        ) : (
          <div className="lists" aria-busy="true" aria-label="The lists are on their way">
            {[1, 2, 3].map((n) => (
              <div key={n} className="card ghost" />
            ))}
          </div>
        )}
      </main>
    </>
  );
}
