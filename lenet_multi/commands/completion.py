"""`lenet-multi completion`."""

import click
from click.shell_completion import get_completion_class

from lenet_multi.commands._options import Name


@click.command("completion")
@click.argument("shell", type=Name(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script that lets your shell complete verbs, flags and names.

    \b
    Examples:
      eval "$(lenet-multi completion bash)"                # in ~/.bashrc
      eval "$(lenet-multi completion zsh)"                 # in ~/.zshrc
      lenet-multi completion fish > ~/.config/fish/completions/lenet-multi.fish
    """
    kind = get_completion_class(shell)
    assert kind
    cli = context.find_root().command
    click.echo(kind(cli, {}, "lenet-multi", "_LENET_MULTI_COMPLETE").source())
