/* A gift of a list, and what this person may do with it. The back end has the last word; what it would refuse is not offered. */
import { useEffect, useRef, useState } from 'react';
import type { GiftFields, GiftStatus, User } from './api';
import { Avatar } from './Avatar';
import { GiftForm } from './GiftForm';
import type { GiftActions, ShownGift } from './gifts';
import { Icon } from './Icon';
import { money } from './money';
import { useNames } from './people';
import { useToast } from './Toasts';

/** Who presses a button that goes away keeps the place on the page: the row has the focus then. */
function useKeptFocus() {
  const row = useRef<HTMLLIElement>(null);
  const isWithin = useRef(false); // nobody is told when what has the focus is taken out of the page
  useEffect(() => {
    if (isWithin.current && document.activeElement === document.body) row.current?.focus();
  });
  return { ref: row, tabIndex: -1, onFocus: () => void (isWithin.current = true), onBlur: () => void (isWithin.current = false) };
}

interface Props {
  gift: ShownGift;
  /** The list is for who looks at it. */
  isOwn: boolean;
  user: User;
  actions: GiftActions;
}

const DID: Record<string, string> = { ADDED: 'added this', UPDATED: 'changed this' };

export function GiftRow({ gift, isOwn, user, actions }: Props) {
  const [mode, setMode] = useState<'shown' | 'edited' | 'deleted'>('shown');
  const seen = useRef(gift.version); // the version that is being edited
  const focus = useKeptFocus();
  const latest = useRef({ mode, name: gift.name });
  const nameOf = useNames();
  const say = useToast();
  const isMine = gift.reserved_by === user.id;
  const mayEdit = user.role === 'parent' || (user.role === 'child' && gift.added_by === user.id);
  const isBusy = gift.isPending;
  const touched = gift.touched?.by === user.id ? undefined : gift.touched; // by somebody else, while the page was open

  useEffect(() => {
    latest.current = { mode, name: gift.name };
  });
  useEffect(
    () => () => {
      if (latest.current.mode === 'edited') say(`“${latest.current.name}” was deleted while you were changing it.`);
    },
    [say],
  );

  const failed = (what: string) => (error: Error) => say(`“${gift.name}” ${what}: ${error.message}.`);
  const become = (status: GiftStatus) => actions.setStatus(gift.id, status).catch(failed('is as it was'));

  function save(fields: GiftFields): void {
    setMode('shown');
    actions.edit(gift.id, fields, seen.current).catch(failed('was not changed'));
  }

  if (mode === 'edited')
    return (
      <li className="gift editing" data-testid="gift" data-gift={gift.id} {...focus}>
        <GiftForm title={`Change ${gift.name}`} submit="Save" start={gift} onSubmit={save} onCancel={() => setMode('shown')} />
      </li>
    );

  return (
    <li
      className="gift"
      data-testid="gift"
      data-gift={gift.id}
      data-status={isOwn ? undefined : gift.status}
      data-pending={isBusy || undefined}
      {...focus}
    >
      {touched && <span key={touched.at} className="flash" aria-hidden="true" /> /* each time anew */}
      <span className="mark" aria-hidden="true">
        <Icon name={!isOwn && gift.status === 'bought' ? 'check' : 'gift'} />
      </span>
      <div className="what">
        <p className="name">
          <span data-testid="gift-name">{gift.name}</span>
          {gift.price !== null && <span className="price">{money(gift.price)}</span>}
        </p>
        {gift.note && <p className="muted small">{gift.note}</p>}
        {!isOwn && gift.status !== 'wanted' && (
          <p className="small taken" data-testid="taken">
            {gift.reserved_by && <Avatar id={gift.reserved_by} name={nameOf(gift.reserved_by)} size="tiny" />}
            {gift.status === 'bought' ? 'Bought' : 'Reserved'} by {isMine ? 'you' : nameOf(gift.reserved_by ?? 'somebody')}
          </p>
        )}
        {touched && DID[touched.event] && <p className="small touched">{`${nameOf(touched.by)} ${DID[touched.event]}`}</p>}
      </div>
      {mode === 'deleted' ? (
        <ConfirmDelete name={gift.name} onYes={() => actions.remove(gift.id).catch(failed('was not deleted'))} onNo={() => setMode('shown')} />
      ) : (
        <div className="actions">
          {!isOwn && gift.status === 'wanted' && (
            <button className="primary" data-testid="reserve" onClick={() => become('reserved')} disabled={isBusy} aria-label={`Reserve ${gift.name}`}>
              Reserve
            </button>
          )}
          {!isOwn && gift.status === 'reserved' && isMine && (
            <button className="primary" data-testid="buy" onClick={() => become('bought')} disabled={isBusy} aria-label={`Bought: ${gift.name}`}>
              Bought
            </button>
          )}
          {!isOwn && gift.status !== 'wanted' && (isMine || user.role === 'parent') && (
            <button data-testid="release" onClick={() => become('wanted')} disabled={isBusy} aria-label={`Release ${gift.name}`}>
              Release
            </button>
          )}
          {mayEdit && (
            <>
              <button
                className="quiet"
                data-testid="edit"
                disabled={isBusy}
                aria-label={`Change ${gift.name}`}
                title="Change"
                onClick={() => {
                  seen.current = gift.version;
                  setMode('edited');
                }}
              >
                <Icon name="pencil" />
              </button>
              <button className="quiet" data-testid="delete" disabled={isBusy} aria-label={`Delete ${gift.name}`} title="Delete" onClick={() => setMode('deleted')}>
                <Icon name="bin" />
              </button>
            </>
          )}
        </div>
      )}
    </li>
  );
}

function ConfirmDelete({ name, onYes, onNo }: { name: string; onYes: () => void; onNo: () => void }) {
  const yes = useRef<HTMLButtonElement>(null);
  useEffect(() => yes.current?.focus(), []);
  return (
    <div className="actions" role="group" aria-label={`Delete ${name}?`} onKeyDown={(event) => event.key === 'Escape' && onNo()}>
      <button ref={yes} className="danger" data-testid="delete-yes" onClick={onYes}>
        Delete
      </button>
      <button onClick={onNo}>Keep</button>
    </div>
  );
}
