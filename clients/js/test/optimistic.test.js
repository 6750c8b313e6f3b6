import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { act, h, hideAll, major, pass, show, StrictMode } from '../testlib/react.js';
import { until } from '../../testlib/broker.js';

const React = await import('react');
const { QueryClient, QueryClientProvider, useQuery } = await import('@tanstack/react-query');
const { useOptimistic } = await import('../dist/optimistic.js');

afterEach(hideAll);

const add = (items, item) => [...items, item];
const eventOf = (mutation_id, item, more = {}) => ({ topic: 'list:1', event: 'ADDED', data: { entity_id: item, mutation_id, ...more } });

/** A list with its optimistic items, and what a test does with it. */
async function showList(options) {
  const of = {};
  function List() {
    const [items, setItems] = React.useState(['a']);
    const { state, update, confirm, isPending } = useOptimistic(items, add, options);
    of.read = (next) => act(async () => setItems(next));
    of.come = (event) => act(async () => confirm(event) && setItems((list) => [...list, event.data.entity_id]));
    // one that is answered when the test says so
    of.send = async (item) => {
      const sent = {};
      await act(async () => {
        sent.done = update(item, (id) => new Promise((resolve, reject) => Object.assign(sent, { id, resolve, reject })));
        sent.done.catch(() => {});
      });
      return { ...sent, accept: () => act(async () => sent.resolve('reply')), refuse: () => act(async () => sent.reject(new Error('refused'))) };
    };
    return `${state.join()}${isPending ? ' …' : ''}`;
  }
  of.screen = await show(h(StrictMode, null, h(List)));
  return of;
}

describe(`React ${major}`, () => {
  test('it is shown at once, and stays when the reply and then the event come', async () => {
    const list = await showList();
    const { id, accept, done } = await list.send('b');
    assert.equal(list.screen.text, 'a,b …');
    await accept();
    assert.equal(await done, 'reply');
    assert.equal(list.screen.text, 'a,b');
    await list.come(eventOf(id, 'b'));
    assert.equal(list.screen.text, 'a,b');
  });

  test('the event before the reply: it is shown once', async () => {
    const list = await showList();
    const { id, accept } = await list.send('b');
    await list.come(eventOf(id, 'b'));
    assert.equal(list.screen.text, 'a,b');
    await accept();
    assert.equal(list.screen.text, 'a,b');
  });

  test('the event twice: it is applied once', async () => {
    const list = await showList();
    const { id, accept } = await list.send('b');
    await list.come(eventOf(id, 'b'));
    await accept();
    await list.come(eventOf(id, 'b'));
    assert.equal(list.screen.text, 'a,b');
  });

  test('several events of one mutation are all applied', async () => {
    const list = await showList();
    const { id } = await list.send('b');
    await list.come(eventOf(id, 'b'));
    await list.come(eventOf(id, 'c'));
    assert.equal(list.screen.text, 'a,b,c');
  });

  test('the event never: it is shown until the data was read again, which has the last word', async () => {
    let answer;
    const list = await showList({ confirmMs: 20, onUnconfirmed: () => new Promise((done) => (answer = done)) });
    const { accept } = await list.send('b');
    await pass(60);
    assert.equal(answer, undefined, 'before the reply there is nothing to wait for');
    await accept();
    await until(() => answer);
    assert.equal(list.screen.text, 'a,b');
    await list.read(['a', 'b', 'c']);
    await act(async () => answer());
    assert.equal(list.screen.text, 'a,b,c');
  });

  test('the data is read again once for a change, whatever else is done while it is read', async () => {
    const answers = [];
    const list = await showList({ confirmMs: 20, onUnconfirmed: () => new Promise((done) => answers.push(done)) });
    const { accept } = await list.send('b');
    await accept();
    await until(() => answers.length);
    const { refuse } = await list.send('c');
    await refuse();
    await pass(60);
    assert.equal(answers.length, 1);
    await list.read(['a', 'b']);
    await act(async () => answers[0]());
    assert.equal(list.screen.text, 'a,b');
  });

  test('the data cannot be read again: what was accepted stays, and it is tried once more', async () => {
    const answers = [];
    const list = await showList({ confirmMs: 20, onUnconfirmed: () => new Promise((resolve, reject) => answers.push({ resolve, reject })) });
    const { accept } = await list.send('b');
    await accept();
    await until(() => answers.length === 1);
    await act(async () => answers[0].reject(new Error('offline')));
    assert.equal(list.screen.text, 'a,b');
    await until(() => answers.length === 2);
    await list.read(['a', 'b']);
    await act(async () => answers[1].resolve());
    assert.equal(list.screen.text, 'a,b');
  });

  test('refused: it is taken back, and nothing else', async () => {
    const list = await showList();
    const first = await list.send('b');
    const second = await list.send('c');
    assert.equal(list.screen.text, 'a,b,c …');
    await first.refuse();
    await assert.rejects(first.done, /refused/);
    assert.equal(list.screen.text, 'a,c …');
    await second.accept();
    assert.equal(list.screen.text, 'a,c');
  });

  test('an error behind the event takes nothing back: it has happened', async () => {
    const list = await showList();
    const { id, refuse } = await list.send('b');
    await list.come(eventOf(id, 'b'));
    await refuse();
    assert.equal(list.screen.text, 'a,b');
  });

  test('events of others are applied, also those with an id', async () => {
    const list = await showList();
    await list.send('b');
    await list.come(eventOf(undefined, 'c'));
    await list.come(eventOf('of another', 'd'));
    assert.equal(list.screen.text, 'a,c,d,b …');
  });

  test('events of changes by others render nothing by themselves', async () => {
    let renders = 0;
    const of = {};
    function List() {
      renders++;
      Object.assign(of, useOptimistic('data', (state) => state));
      return of.state;
    }
    await show(h(List));
    renders = 0;
    for (const id of ['x', 'y']) await act(async () => assert.equal(of.confirm(eventOf(id, 'c')), true));
    assert.equal(renders, 0);
  });

  test('over data of TanStack Query, which tells of a change a moment later, it is never away in between', async () => {
    const queryClient = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity, gcTime: Infinity } } }); // no timer stays
    queryClient.setQueryData(['list'], ['a']);
    const of = {};
    const shown = [];
    function List() {
      const { data } = useQuery({ queryKey: ['list'], queryFn: () => [] });
      Object.assign(of, useOptimistic(data, add));
      const text = of.state.join();
      React.useLayoutEffect(() => {
        if (shown.at(-1) !== text) shown.push(text);
      });
      return text;
    }
    await show(h(QueryClientProvider, { client: queryClient }, h(List)));
    let id;
    await act(() => of.update('b', async (given) => (id = given)));
    await pass(10); // as events come, in a task of their own
    of.confirm(eventOf(id, 'b')); // as `patch` of useQuerySync does
    queryClient.setQueryData(['list'], ['a', 'b']);
    await until(() => queryClient.getQueryData(['list']) === of.state, 'the data is shown, without a change over it');
    assert.deepEqual(shown, ['a', 'a,b']);
  });

  test('a component that is gone leaves no timer', async () => {
    let isAsked = false;
    const list = await showList({ confirmMs: 20, onUnconfirmed: () => (isAsked = true) });
    const { accept } = await list.send('b');
    await accept();
    await list.screen.hide();
    await pass(60);
    assert.equal(isAsked, false);
  });
});
