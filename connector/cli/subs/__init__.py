"""`kis-bond subs`: change the wanted bonds in the control topic, watch the status topic."""

import typer

from connector.cli.subs import add, apply, export, lists, ls, pause, rm, watch

app = typer.Typer(
    no_args_is_help=True,
    help="List, add, remove, apply and watch lists of bonds. Needs only Kafka, neither KIS nor a running connector.",
)
app.command("ls", epilog=ls.EXAMPLES)(ls.ls)
app.command("add", epilog=add.EXAMPLES)(add.add)
app.command("rm", epilog=rm.EXAMPLES)(rm.rm)
app.command("apply", epilog=apply.EXAMPLES)(apply.apply)
app.command("lists", epilog=lists.EXAMPLES)(lists.lists)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("pause", epilog=pause.PAUSE_EXAMPLES)(pause.pause)
app.command("resume", epilog=pause.RESUME_EXAMPLES)(pause.resume)
app.command("watch", epilog=watch.EXAMPLES)(watch.watch)
