/* hookwire-client/status/vue: the same as `hookwire-client/status`, for Vue 3. */
import { computed, defineComponent, h, nextTick, onScopeDispose, type PropType, ref, shallowRef, watch } from 'vue';
import type { Status } from './types.js';
import { useConnectionStatus, useHookwire } from './vue.js';
import { canRetry, isTrying, SECOND_MS, secondsTo, SETTLE_MS, type StatusStrings, textOf, WORDS } from './words.js';

export type { StatusStrings } from './words.js';

/** The connection's state in words, how long it is until the next attempt, and a button that does not wait for it. */
export const ConnectionStatus = defineComponent({
  name: 'ConnectionStatus',
  props: {
    /** Other words, or of another language; those that are absent stay. */
    strings: { type: Object as PropType<Partial<StatusStrings>> },
  },
  setup(props) {
    const client = useHookwire();
    const status = useConnectionStatus();
    const settled = shallowRef<Status>(status.value);
    const resting = shallowRef<Status>(status.value); // the last one that was no attempt
    const now = ref(Date.now());
    const text = ref<HTMLElement>();
    const button = ref<HTMLButtonElement>();
    const seconds = computed(() => secondsTo(status.value, now.value));
    let timer: ReturnType<typeof setTimeout> | undefined;
    let clock: ReturnType<typeof setInterval> | undefined;
    const stop = () => {
      clearTimeout(timer);
      clearInterval(clock);
    };

    watch(status, (next) => {
      stop();
      // an attempt that is over at once is not spoken of
      if (isTrying(next)) timer = setTimeout(() => (settled.value = next), SETTLE_MS);
      else settled.value = resting.value = next;
      now.value = Date.now();
      if (next.state === 'waiting') clock = setInterval(() => (now.value = Date.now()), SECOND_MS);
      // a button that goes away must not take the focus with it
      if (!canRetry(resting.value) && button.value && document.activeElement === button.value) void nextTick(() => text.value?.focus());
    });
    onScopeDispose(stop);

    return () =>
      h('div', { class: 'hookwire-status', 'data-state': status.value.state, 'data-transport': status.value.transport }, [
        h('span', { ref: text, role: 'status', 'aria-live': 'polite', 'aria-atomic': 'true', tabindex: -1, class: 'hookwire-status-text' }, textOf(settled.value, props.strings)),
        seconds.value !== undefined && h('span', { role: 'timer', class: 'hookwire-status-countdown' }, (props.strings?.countdown ?? WORDS.countdown)(seconds.value)),
        h(
          'button',
          {
            ref: button,
            type: 'button',
            hidden: !canRetry(resting.value),
            'aria-disabled': isTrying(status.value),
            class: 'hookwire-status-retry',
            onClick: () => isTrying(status.value) || client.retry(),
          },
          props.strings?.retry ?? WORDS.retry,
        ),
      ]);
  },
});
