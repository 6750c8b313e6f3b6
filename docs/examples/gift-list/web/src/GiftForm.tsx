/* Name, price and note of a gift, to add one or to change one. */
import { type FormEvent, type KeyboardEvent, useId, useState } from 'react';
import type { GiftFields } from './api';
import { centsOf } from './money';

interface Props {
  title: string;
  submit: string;
  start?: GiftFields;
  onSubmit: (fields: GiftFields) => void;
  onCancel: () => void;
}

const NAME_MAX = 200;
const NOTE_MAX = 2000;

export function GiftForm({ title, submit, start, onSubmit, onCancel }: Props) {
  const [name, setName] = useState(start?.name ?? '');
  const [price, setPrice] = useState(start?.price == null ? '' : String(start.price / 100));
  const [note, setNote] = useState(start?.note ?? '');
  const cents = centsOf(price);
  const id = useId();

  function send(event: FormEvent): void {
    event.preventDefault();
    if (name.trim() && cents !== undefined) onSubmit({ name: name.trim(), price: cents, note: note.trim() });
  }

  return (
    <form
      className="gift-form"
      aria-label={title}
      onSubmit={send}
      onKeyDown={(event: KeyboardEvent) => event.key === 'Escape' && onCancel()}
    >
      <div className="fields">
        <label className="wide">
          Gift
          <input value={name} onChange={(event) => setName(event.target.value)} maxLength={NAME_MAX} required autoFocus placeholder="What is it?" />
        </label>
        <label className="narrow">
          Price, $
          <input
            value={price}
            onChange={(event) => setPrice(event.target.value)}
            inputMode="decimal"
            placeholder="optional"
            aria-invalid={cents === undefined}
            aria-describedby={cents === undefined ? id : undefined}
          />
        </label>
        <label className="all">
          Note
          <input value={note} onChange={(event) => setNote(event.target.value)} maxLength={NOTE_MAX} placeholder="size, colour, where to find it" />
        </label>
      </div>
      {cents === undefined && (
        <p className="problem small" id={id} role="alert">
          A price looks like 25 or 12.50.
        </p>
      )}
      <div className="buttons">
        <button type="submit" className="primary">
          {submit}
        </button>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}
