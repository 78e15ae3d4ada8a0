# SPDX-License-Identifier: Apache-2.0
"""The command `completion`: what a shell needs to complete `wsrc`."""

import click

PROGRAM = "wsrc"

_BASH = """\
_wsrc() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        [[ $word == */ ]] && compopt -o nospace
        COMPREPLY+=("$(printf %q "$word")")
    done < <(_WSRC_COMPLETE=bash "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _wsrc wsrc
"""

_ZSH = """\
#compdef wsrc
_wsrc() {
    local line
    local -a plain said
    while IFS= read -r line; do
        if [[ $line == *$'\\t'* ]]; then
            said+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
        else
            plain+=("$line")
        fi
    done < <(_WSRC_COMPLETE=zsh $words[1] "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    (( $#said )) && _describe wsrc said
    (( $#plain )) && compadd -a plain
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _wsrc "$@"
else
    compdef _wsrc wsrc
fi
"""

_FISH = """\
function __wsrc_complete
    set -l words (commandline -opc) (commandline -ct)
    _WSRC_COMPLETE=fish $words[1] $words[2..-1] 2>/dev/null
end
complete --no-files --command wsrc --arguments "(__wsrc_complete)"
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(
    "completion",
    epilog='\b\nExamples:\n  eval "$(wsrc completion bash)"\n  wsrc completion fish | source',
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """
    Print the completion of `wsrc` for a shell.

    It knows commands, options, and names of the cards that commands saw in the last days.
    """
    click.echo(SCRIPTS[shell], nl=False)
