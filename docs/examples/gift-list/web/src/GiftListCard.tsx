/* The list of one person. */
import { useRef, useState } from 'react';
import type { GiftFields, GiftList, User } from './api';
import { Avatar } from './Avatar';
import { GiftForm } from './GiftForm';
import { GiftRow } from './GiftRow';
import type { GiftActions } from './gifts';
import { Icon } from './Icon';
import { useNames } from './people';
import { useToast } from './Toasts';

export function GiftListCard({ list, user, actions }: { list: GiftList; user: User; actions: GiftActions }) {
  const [isAdding, setAdding] = useState(false);
  const hasAdded = useRef(false);
  const nameOf = useNames();
  const say = useToast();
  const isOwn = list.owner_id === user.id;
  const taken = list.gifts.filter(({ status }) => status !== 'wanted').length;
  const count = list.gifts.length;

  function close(): void {
    hasAdded.current = true; // the focus goes back to where the form was opened
    setAdding(false);
  }

  function add(fields: GiftFields): void {
    close();
    actions.add(list.id, fields).catch(({ message }: Error) => say(`“${fields.name}” was not added: ${message}.`));
  }

  return (
    <section className="card list" data-testid={`list-${list.id}`} data-owner={list.owner_id} aria-labelledby={`title-${list.id}`}>
      <header>
        <Avatar id={list.owner_id} name={nameOf(list.owner_id)} size="large" />
        <div>
          <h2 id={`title-${list.id}`}>{list.title}</h2>
          {isOwn ? (
            <p className="muted small">Yours. Who gives what stays a surprise.</p>
          ) : (
            <p className="muted small">{count ? `${taken} of ${count} taken care of` : 'No wishes yet'}</p>
          )}
        </div>
      </header>
      {!isOwn && <progress max={count || 1} value={taken} aria-label={`Taken care of: ${taken} of ${count}`} />}
      <ul className="gifts">
        {list.gifts.map((gift) => (
          <GiftRow key={gift.id} gift={gift} isOwn={isOwn} user={user} actions={actions} />
        ))}
      </ul>
      {user.role !== 'guest' &&
        (isAdding ? (
          <GiftForm title={`Add a gift to ${list.title}`} submit="Add" onSubmit={add} onCancel={close} />
        ) : (
          <button className="add" data-testid="add" autoFocus={hasAdded.current} onClick={() => setAdding(true)}>
            <Icon name="plus" /> Add a gift
          </button>
        ))}
    </section>
  );
}
