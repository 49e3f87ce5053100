# Lets the Tab key complete rlhf-sweeps and rlhf-analysis: eval "$(rlhf-sweeps completion)" in bash, and in zsh after
# autoload -U bashcompinit && bashcompinit. Keys and choices are asked of the program; all else stands here.

# The arguments that begin with the word under the cursor, each followed by a space.
_rlhf_words() {
    COMPREPLY+=($(compgen -S ' ' -W "$(printf '%s\n' "$@")" -- "$cur"))
}

# Folders, such as those of runs and sweeps, and with "-f" files, too; $1 stands before the path in the same word.
_rlhf_paths() {
    COMPREPLY+=($(compgen -d -P "$1" -S / -- "${cur#"$1"}"))
    if [[ ${2-} == -f ]]; then
        local file
        for file in $(compgen -f -- "${cur#"$1"}"); do
            [[ -d $file ]] || COMPREPLY+=("$1$file ")
        done
    fi
}

# Keys and choices; $1 are the words that start the program, the others those that it has been given.
_rlhf_overrides() {
    case $cur in
    hydra.*.dir=*) _rlhf_paths "${cur%%=*}=" && return ;;
    *path=*) _rlhf_paths "${cur%%=*}=" -f && return ;;
    esac
    local line
    line=$(IFS=' ' && echo "program ${*:2}")
    COMPREPLY+=($(COMP_LINE=$line COMP_POINT=${#line} eval "$1 -sc query=bash" 2>/dev/null | tr ' ' '\n'))
}

_rlhf_sweeps() {
    local IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]}
    COMPREPLY=()
    case $COMP_CWORD,${COMP_WORDS[1]},$cur in
    *,sample,-*)
        _rlhf_words --help --compare --prompts --samples --base --temperature --response-length --seed --device
        ;;
    [2-9]*,sample,* | 1[0-9],sample,*) _rlhf_paths '' && _rlhf_words base ;;
    2,reward-models,*) _rlhf_words train screen --help --version ;;
    [3-9]*,reward-models,* | [1-9][0-9],reward-models,*)
        local command=train
        [[ ${COMP_WORDS[2]} == screen ]] && command=screen
        _rlhf_overrides "$program reward-models $command" "${COMP_WORDS[@]:3}"
        ;;
    2,completion,*) ;;
    *,*,-*)
        _rlhf_words --help --hydra-help --version --cfg --resolve --package --run --multirun --shell-completion \
            --config-path --config-name --config-dir --experimental-rerun --info
        ;;
    *)
        [[ $COMP_CWORD == 1 ]] && _rlhf_words sample reward-models completion
        _rlhf_overrides "$program" "${COMP_WORDS[@]:1}"
        ;;
    esac
}

_rlhf_analysis() {
    local IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    case $COMP_CWORD,${COMP_WORDS[1]},$cur in
    1,*) _rlhf_words curves compare sweep health report screen watch publish workspace --help --version ;;
    *,curves,-*) _rlhf_words --help --storage --out --metrics --by --smooth --x --beside --format ;;
    *,compare,-*) _rlhf_words --help --storage --out --by --metric --format ;;
    *,sweep,-* | *,health,-* | *,report,-*) _rlhf_words --help --storage --out ;;
    *,screen,-*) _rlhf_words --help --out --format ;;
    *,watch,-*) _rlhf_words --help --once --interval ;;
    *,publish,-*) _rlhf_words --help --experiment --table ;;
    *,workspace,-*) _rlhf_words --help --sweep --name --dry-run ;;
    *) _rlhf_paths '' -f ;;
    esac
}

COMP_WORDBREAKS=${COMP_WORDBREAKS//=/} # a key and its value are one word
complete -o nospace -F _rlhf_sweeps rlhf-sweeps
complete -o nospace -F _rlhf_analysis rlhf-analysis
