/* What has to be said once: above all that a change was taken back, and why. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useState } from 'react';
import { Icon } from './Icon';

interface Toast {
  id: number;
  text: string;
}

const SHOWN_MS = 8000;
const Context = createContext<(text: string) => void>(() => {});
let nextId = 1;

/** Says something. */
export const useToast = () => useContext(Context);

function Shown({ toast, onEnd }: { toast: Toast; onEnd: (id: number) => void }) {
  useEffect(() => {
    const timer = setTimeout(onEnd, SHOWN_MS, toast.id);
    return () => clearTimeout(timer);
  }, [toast.id, onEnd]);
  return (
    <div className="toast" data-testid="toast">
      <span>{toast.text}</span>
      <button className="quiet" aria-label="Dismiss" onClick={() => onEnd(toast.id)}>
        <Icon name="cross" />
      </button>
    </div>
  );
}

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const say = useCallback((text: string) => setToasts((all) => [...all, { id: nextId++, text }]), []);
  const end = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  return (
    <Context.Provider value={say}>
      {children}
      <div className="toasts" role="alert">
        {toasts.map((toast) => (
          <Shown key={toast.id} toast={toast} onEnd={end} />
        ))}
      </div>
    </Context.Provider>
  );
}
