"""`kis-bond subs`: change the wanted bonds in the control topic, watch the status topic."""

import typer

from connector.cli.subs import add, apply, ls, rm, watch

app = typer.Typer(
    no_args_is_help=True,
    help="List, add, remove, apply and watch lists of bonds. Needs only Kafka, neither KIS nor a running connector.",
)
app.command("ls", epilog=ls.EXAMPLES)(ls.ls)
app.command("add", epilog=add.EXAMPLES)(add.add)
app.command("rm", epilog=rm.EXAMPLES)(rm.rm)
app.command("apply", epilog=apply.EXAMPLES)(apply.apply)
app.command("watch", epilog=watch.EXAMPLES)(watch.watch)
