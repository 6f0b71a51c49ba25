# SPDX-License-Identifier: Apache-2.0
"""A fleet in a box: KVM hosts that QEMU emulates, on a LAN of their own; no /dev/kvm, root or privilege is needed.

    tools/lab run -- uname -a                  boots a host, runs the command there, and ends
    tools/lab shell                            boots a host and gives a prompt on it
    tools/lab up --hosts 2                     boots alpha and beta, and keeps them until ^C or `tools/lab down`
    tools/lab exec beta -- ping -c 3 alpha     a command on a host of the lab that is up
    tools/lab shell beta                       a prompt there
    tools/lab cut alpha beta                   nothing passes from alpha to beta; `heal` undoes it
    tools/lab power-off beta                   as if its plug were pulled; `boot` boots it anew
"""
import argparse
import json
import os
import signal
import sys

import fleet
import service
import terminal
from host import HostFailed, HostSpec
from terminal import say

NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
UNAVAILABLE, HOST_FAILED, TIMED_OUT = 3, 4, 124
STATUSES = f"""exit status: the command's own (128 + N when signal N ended it); {UNAVAILABLE} when this machine cannot have the hosts; {HOST_FAILED} when
an emulated host failed; {TIMED_OUT} when the command took longer than --timeout"""


def make(options):
    hosts = getattr(options, "hosts", 1)
    specs = [HostSpec(name, cpus=options.cpus, memory=options.memory) for name in NAMES[:hosts]]
    return fleet.Fleet(specs, shares=options.share, lan=hosts > 1)


def run(options):
    """The command, or a shell, on the first host of a lab of its own."""
    shell = options.verb == "shell"
    with make(options) as hosts:
        hosts.wait_ready()
        first = next(iter(hosts))
        interactive = shell and os.isatty(0)
        argv = ["/bin/bash", "-i"] if shell else options.command
        process = first.popen(argv, tty=interactive, env=environment())
        if not interactive:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda n, _: process.send_signal(n, group=True))
        else:
            process.resize(*terminal.size())
            signal.signal(signal.SIGWINCH, lambda *_: process.resize(*terminal.size()))
        late = []
        if getattr(options, "timeout", None):
            def strike(*_):
                late.append(True)
                process.send_signal(signal.SIGKILL, group=True)
            signal.signal(signal.SIGALRM, strike)
            signal.setitimer(signal.ITIMER_REAL, options.timeout)
        with terminal.raw(0 if interactive else None):
            status = terminal.carry(process, [0, 1, 2])
        hosts.check()
        if late:
            say(f"the command took longer than {options.timeout:g} s")
            return TIMED_OUT
        return status


def environment():
    return {"TERM": os.environ.get("TERM", "dumb")}


def up(options):
    if service.reach():
        say("your lab is up already; `tools/lab status` shows it")
        return 2
    with make(options) as hosts:
        hosts.wait_ready()
        served = service.Service(hosts)
        for one in hosts:
            say(f"{one.name} is up: {one.address or 'no network'}, {one.spec.cpus} CPU, {one.spec.memory} MiB")
        say("`tools/lab shell NAME`, `tools/lab exec NAME -- COMMAND`; ^C or `tools/lab down` ends it")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: served.over.set())
        while not served.over.wait(0.5):
            pass
    return 0


def at_lab(options):
    """What the lab that is up does."""
    end = service.reach()
    if end is None:
        if options.verb == "shell":
            return run(options)
        say("no lab of yours is up; `tools/lab up` boots one")
        return UNAVAILABLE
    verb = options.verb
    if verb in ("exec", "shell"):
        return command_at_lab(end, options)
    what = {"do": verb}
    if verb in ("power-off", "boot"):
        what["host"] = options.host
    elif verb in ("cut", "shape"):
        what |= {"from": options.source, "to": options.target}
    if verb == "shape":
        what |= {"delay": options.delay / 1000, "rate": options.rate and options.rate * 1_000_000}
    answer = service.ask(end, what)
    for one in answer.get("hosts", ()):
        print(f"{one['name']:10} {one['address'] or '-':12} {'on' if one['on'] else one['failure'] or 'off'}")
    return told(answer)


def command_at_lab(end, options):
    shell = options.verb == "shell"
    interactive = shell and os.isatty(0)

    def news(connection):
        def tell(**what):
            connection.sendall(json.dumps(what).encode() + b"\n")
        if interactive:
            signal.signal(signal.SIGWINCH, lambda *_: tell(size=terminal.size()))
        else:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda n, _: tell(signal=n))

    what = {"do": "exec", "host": options.host, "argv": ["/bin/bash", "-i"] if shell else options.command, "cwd": os.getcwd(),
            "size": terminal.size() if interactive else None, "env": environment()}
    with terminal.raw(0 if interactive else None):
        answer = service.ask(end, what, [0, 1, 2], news)
    return answer["status"] if "status" in answer else told(answer)


def told(answer):
    if "error" in answer:
        say(answer["error"])
        return 2
    return 0


def parse():
    parser = argparse.ArgumentParser(prog="tools/lab", description=__doc__, epilog=STATUSES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name, call, text, hosts=False, machine=False):
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(call=call)
        if hosts:
            added.add_argument("--hosts", type=int, choices=range(1, len(NAMES) + 1), default=1, metavar="N",
                               help=f"how many, named {', '.join(NAMES[:3])}, ... (default 1)")
        if machine:
            added.add_argument("--cpus", type=int, default=1, metavar="N", help="of each host (default 1)")
            added.add_argument("--memory", type=int, default=2048, metavar="MIB", help="of each host (default 2048)")
            added.add_argument("--share", action="append", default=[], metavar="FOLDER",
                               help="a folder of this machine that the hosts may write to; may be repeated")
        return added

    command = verb("run", run, "a command on a host that is booted for it", hosts=True, machine=True)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="the command is killed when it takes longer")
    command.add_argument("command", nargs="+", metavar="COMMAND")
    verb("up", up, "boots hosts and keeps them", hosts=True, machine=True)
    shell = verb("shell", at_lab, "a prompt on a host of the lab that is up, or of one that is booted for it", machine=True)
    shell.add_argument("host", nargs="?", metavar="HOST")
    command = verb("exec", at_lab, "a command on a host of the lab that is up")
    command.add_argument("host", metavar="HOST")
    command.add_argument("command", nargs="+", metavar="COMMAND")
    for name, text in (("power-off", "pulls the plug of a host"), ("boot", "boots a host anew")):
        verb(name, at_lab, text).add_argument("host", metavar="HOST")
    for name, text in (("cut", "lets nothing pass from one host to another"), ("shape", "delays or limits what passes")):
        added = verb(name, at_lab, text)
        added.add_argument("source", metavar="FROM", help="a host, or * for all")
        added.add_argument("target", metavar="TO")
        if name == "shape":
            added.add_argument("--delay", type=float, default=0, metavar="MS")
            added.add_argument("--rate", type=float, metavar="MB/S")
    verb("heal", at_lab, "undoes every cut and shape")
    verb("status", at_lab, "which hosts are there")
    verb("down", at_lab, "ends the lab that is up")
    return parser.parse_args()


def main():
    options = parse()
    try:
        return options.call(options)
    except fleet.Unavailable as why:
        say(str(why))
        return UNAVAILABLE
    except HostFailed as why:
        say(str(why))
        return HOST_FAILED
    except (OSError, ValueError) as why:
        say(str(why))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
