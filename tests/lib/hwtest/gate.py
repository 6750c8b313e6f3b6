"""A broker with the gate plugin, which a test holds up or makes refuse at a moment of its choice."""
import subprocess

from .broker import ROOT, Broker, base_config, merge
from .wait import wait_until
from .ws import WsClient


class GateBroker(Broker):
    """A broker whose hooks are the jwt plugin and gates: a global one, and with `tenant` one of acme's, in a file of its own.

    A gate waits and refuses as tests/lib/gate_plugin.c says; `hold`, `release`, `refuse` and `permit` make and remove its files.
    """

    def __init__(self, config=None, tenant=False, **options):
        self.tenant = tenant
        self._config = config
        super().__init__(config, **options)

    def write_config(self, config=None):
        if config is None and not (self.dir / "gate.so").exists():
            self._build()
            config = merge(self.config, {"hooks": base_config()["hooks"] + ([] if self.tenant else [self._gate("one")])})
            if self.tenant:
                config["include"] = ["tenants.d/*.json"]
                self.write_tenant("one")
        return super().write_config(config)

    def _build(self):
        subprocess.run(
            ["cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror", f"-I{ROOT / 'core/include'}",
             "-o", self.dir / "gate.so", ROOT / "tests/lib/gate_plugin.c"], check=True)

    def _gate(self, mark):
        return {"name": "gate", "plugin": str(self.dir / "gate.so"), "config": {"dir": str(self.dir), "mark": mark}}

    def write_mark(self, mark):
        """Gives the global gate another mark: what a reload takes."""
        self.write_config(merge(self.config, {"hooks": base_config()["hooks"] + [self._gate(mark)]}))

    def write_tenant(self, mark):
        """The same of acme's gate."""
        self.write_file("tenants.d/acme.json", {"tenants": {"acme": {"hooks": [self._gate(mark)]}}})

    def hold(self, step):
        """From now on `step` ("load", "worker-1", "ask-1") waits; release() ends that."""
        (self.dir / step).touch()

    def release(self, step):
        """Lets a step go on."""
        (self.dir / step).unlink()

    def wait_held(self, step):
        """Waits until a hook stands at the closed gate."""
        wait_until((self.dir / f"{step}.waiting").exists, 10, f"a hook that waits at {step}")

    def refuse(self, worker):
        """From now on worker_init of this worker refuses; permit() ends that."""
        (self.dir / f"refuse-{worker}").touch()

    def permit(self, worker):
        """Lets it succeed again."""
        (self.dir / f"refuse-{worker}").unlink()

    def clients(self):
        """A client of each of the two workers, by the worker's number."""
        found = {}

        def another():
            client = WsClient(self.address, token=self.token(), protocols=["hookwire.v1"])
            client.recv_where({"type": "welcome"})
            worker = int(self.reason(client).split()[1])
            if worker in found:
                client.close()
            else:
                found[worker] = client
            return len(found) == 2
        wait_until(another, 10, "a client of each worker")
        return found

    @staticmethod
    def reason(client):
        """What the gate answers to a publish: "worker N MARK"; or the code when there was no gate to ask."""
        event = {"topic": "t:1", "event": "UPDATED", "data": {"entity_id": "e1", "payload": {}}}
        answer = client.request({"type": "publish", **event})
        return answer.get("message") or answer["code"]
