import { useState } from 'react';
import type { Person } from './api';
import { Avatar } from './Avatar';
import { Icon } from './Icon';
import { ROLES, usePeople } from './people';
import { logIn } from './session';
import { sentence } from './words';

export function Login({ message }: { message?: string }) {
  const { data: people = [], error, refetch } = usePeople();
  const [problem, setProblem] = useState<string>();
  const families = [...new Set(people.map(({ family_id }) => family_id))].map((id) => people.filter((person) => person.family_id === id));
  const said = problem ?? error?.message ?? message;

  const choose = (person: Person) => logIn(person.id).catch(({ message }: Error) => setProblem(message));

  return (
    <main className="centre">
      <div className="card sheet">
        <p className="brand">
          <img src="/gift.svg" alt="" /> Family gifts
        </p>
        <h1>Who is there?</h1>
        <p className="muted">Open a second window and be somebody else: what one changes, the other sees.</p>
        {said && (
          <p className="problem" role="alert">
            {sentence(said)} {error && <button onClick={() => refetch()}>Try again</button>}
          </p>
        )}
        {families.map((family) => (
          <section key={family[0]!.family_id} aria-label={family[0]!.family}>
            <h2 className="eyebrow">{family[0]!.family}</h2>
            <ul className="people">
              {family.map((person) => (
                <li key={person.id}>
                  <button className="person" data-testid={`login-${person.id}`} onClick={() => choose(person)}>
                    <Avatar id={person.id} name={person.name} size="large" />
                    <span>
                      <strong>{person.name}</strong>
                      <small>{ROLES[person.role]}</small>
                    </span>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        ))}
        <p className="muted small">
          <Icon name="lock" /> A demo: there are no passwords.
        </p>
      </div>
    </main>
  );
}
