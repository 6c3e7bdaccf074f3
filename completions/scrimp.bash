_scrimp_completion() {
    local IFS=$'
'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" \
                   COMP_CWORD=$COMP_CWORD \
                   _SCRIMP_COMPLETE=complete_bash $1 ) )
    return 0
}

complete -o default -F _scrimp_completion scrimp
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
