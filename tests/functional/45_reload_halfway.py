#!/usr/bin/python3
# A hook that loads but does not start on a worker: nothing is taken by halves, at a reload or at the start.
import pathlib
import sys
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from hwtest import *


def answers(broker, clients):
    return [broker.reason(clients[worker]) for worker in sorted(clients)]


def test_a_hook_of_all_tenants_that_one_worker_cannot_start_is_taken_by_none():
    with GateBroker({"workers": 2}) as broker:
        clients = broker.clients()
        equal(answers(broker, clients), ["worker 0 one", "worker 1 one"], "before")
        for worker in (0, 1):
            broker.refuse(worker)
            broker.write_mark("two")
            mark = broker.log_mark()
            broker.sighup()
            broker.wait_log("reload failed: everything decides as before", since=mark)
            broker.wait_log(f"does not start on a worker hook=gate .*worker={worker} ", since=mark)
            equal(answers(broker, clients), ["worker 0 one", "worker 1 one"], f"when worker {worker} refuses")
            broker.permit(worker)
        equal(broker.metric("hookwire_reloads_total", result="failed"), 2, "failed reloads")
        broker.sighup()
        wait_until(lambda: answers(broker, clients) == ["worker 0 two", "worker 1 two"], 10, "the new settings everywhere")


def test_a_tenants_hook_that_one_worker_cannot_start_keeps_that_file_as_it_was_and_no_other():
    with GateBroker({"workers": 2}, tenant=True) as broker:
        clients = broker.clients()
        equal(answers(broker, clients), ["worker 0 one", "worker 1 one"], "before")
        broker.refuse(1)
        broker.write_tenant("two")
        broker.write_config(merge(broker.config, {"limits": {"message_bytes": 2048}}))
        mark = broker.log_mark()
        broker.sighup()
        broker.wait_log("reloaded in part", since=mark)
        broker.wait_log(r"acme\.json:\d+:\d+: a worker cannot start the hooks of tenant acme", since=mark)
        equal(answers(broker, clients), ["worker 0 one", "worker 1 one"], "acme's answers")
        with WsClient(broker.address, token=mint("u2"), protocols=["hookwire.v1"]) as client:
            equal(client.recv_where({"type": "welcome"})["limits"]["message_bytes"], 2048, "what the main file changed")
        equal(broker.metric("hookwire_reload_failed_units_total"), 1, "broken units")
        broker.permit(1)
        broker.sighup()
        wait_until(lambda: answers(broker, clients) == ["worker 0 two", "worker 1 two"], 10, "the new settings everywhere")


def test_a_hook_that_does_not_start_on_a_worker_keeps_the_broker_from_starting():
    for worker in (0, 1):
        with raises(BrokerDied) as died:
            GateBroker({"workers": 2}, files={f"refuse-{worker}": ""})
        contains(str(died[0]), "ended with 1", "its end")
        contains(str(died[0]), "does not start on a worker hook=gate", "what it says")
        contains(str(died[0]), "its worker_init refuses", "and why")
        contains(str(died[0]), "stdout []", "nothing was said to listen")


def test_a_broker_that_cannot_have_one_of_its_addresses_says_of_none_that_it_listens():
    with Broker() as other:
        with raises(BrokerDied) as died:
            Broker({"listen": ["127.0.0.1:0", other.address]})
        contains(str(died[0]), "ended with 1", "its end")
        contains(str(died[0]), other.address, "the address")
        contains(str(died[0]), "stdout []", "nothing was said to listen")


def test_a_worker_that_a_plugin_holds_does_not_keep_the_process_from_ending():
    with temporary_directory() as tmp:
        socket = tmp / "broker.sock"
        # the held thread is left behind: that is what this is about
        with GateBroker({"workers": 2, "listen": ["127.0.0.1:0", f"unix:{socket}"]}, env={"TSAN_OPTIONS": "report_thread_leaks=0"}) as broker:
            clients = broker.clients()
            broker.hold("ask-1")
            clients[1].send_json({"type": "publish", "topic": "t:1", "event": "UPDATED", "data": {"entity_id": "e1"}})
            broker.wait_held("ask-1")
            broker.sigterm()
            broker.wait_log("draining: ")
            broker.stop(8, code=1)
            contains(broker.log(), "a worker does not end: a plugin holds it", "the log")
            check(not socket.exists(), "the unix socket's file is left")
            for client in clients.values():
                client.stream.close()


main()
