"""The scripts of `lightly completion`. Each asks `lightly completion next` what may follow."""

from __future__ import annotations

_BASH = r"""# Completion of the command `lightly` in bash, written by `lightly completion`.
_lightly() {
    local IFS=$'\n'
    COMPREPLY=($("${COMP_WORDS[0]}" completion next bash "$COMP_WORDBREAKS" \
        "${COMP_LINE:0:$COMP_POINT}" 2>/dev/null))
}
complete -o nospace -F _lightly lightly
"""

_ZSH = r"""#compdef lightly
# Completion of the command `lightly` in zsh, written by `lightly completion`.
_lightly() {
    local line text tab=$'\t'
    local -a whole whole_shown begun begun_shown
    while IFS= read -r line; do
        text=${line%%$tab*}
        if [[ $text == *' ' ]]; then
            whole+=("${text% }")
            whole_shown+=("${line/$tab/ -- }")
        else
            begun+=("$text")
            begun_shown+=("${line/$tab/ -- }")
        fi
    done < <("${words[1]}" completion next zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" \
        2>/dev/null)
    compadd -d whole_shown -a whole
    compadd -S '' -d begun_shown -a begun
}
if [[ ${funcstack[1]} == _lightly ]]; then
    _lightly
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _lightly lightly
fi
"""

_FISH = r"""# Completion of the command `lightly` in fish, written by `lightly completion`.
function __lightly_candidates
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] completion next fish $words[2..-1] "$current" 2>/dev/null
end
complete --command lightly --no-files --arguments '(__lightly_candidates)'
"""

#: Scripts by shell.
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
