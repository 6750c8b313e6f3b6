"""The hook that is published for pages, as printed, and what a page needs to run it.

A program of `HOOK` has before it `WS_URL`, `TOKEN`, `TOPICS` and `say(value)`, which is told {isConnected} and {invalidated}; behind it
`ref.current` is the hook's WebSocket, and `cleanup()` unmounts it.
"""

# As printed; only the type annotations go before it runs.
USE_WEB_SOCKET = r"""
function useWebSocket(topics: string[]) {
const [isConnected, setIsConnected] = useState(false);
const wsRef = useRef<WebSocket | null>(null);
const queryClient = useQueryClient();
useEffect(() => {
const ws = new WebSocket(`${WS_URL}?token=${getToken()}`);
ws.onopen = () => {
setIsConnected(true);
ws.send(JSON.stringify({ type: 'subscribe', topics }));
};
ws.onmessage = (event) => {
const wsEvent: WebSocketEvent = JSON.parse(event.data);
// Invalidate relevant queries
queryClient.invalidateQueries([wsEvent.topic.split(':')[0]]);
};
ws.onclose = () => {
setIsConnected(false);
// Reconnect logic here
};
wsRef.current = ws;
return () => {
ws.send(JSON.stringify({ type: 'unsubscribe', topics }));
ws.close();
};
}, [topics.join(',')]);
return { isConnected };
}
"""

_ANNOTATIONS = (": string[]", "<WebSocket | null>", ": WebSocketEvent")

# React, as far as the hook needs it
_REACT = r"""
const getToken = () => TOKEN;
const useState = (value) => [value, (now) => say({ isConnected: now })];
const useRef = (value) => (globalThis.ref = { current: value });
const useQueryClient = () => ({ invalidateQueries: (key) => say({ invalidated: key }) });
const useEffect = (effect) => { globalThis.cleanup = effect(); };
"""


def untyped(snippet):
    """A printed snippet as JavaScript: without its type annotations."""
    for annotation in _ANNOTATIONS:
        snippet = snippet.replace(annotation, "")
    return snippet


HOOK = _REACT + untyped(USE_WEB_SOCKET) + "useWebSocket(TOPICS);\n"
