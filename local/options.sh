# shellcheck shell=bash disable=SC2034,SC2154
# Options of taste.sh, score.sh and pack.sh, and the names of what they make from each
# other. Sourced with the script's arguments.
# General
stage=1                # First stage to run.
stop_stage=11          # Last stage to run.
skip_stages=           # Those in between that are not, e.g. "3 10".
skip_data_prep=false   # Stages 1 to 4.
skip_train=false       # Stages 5 and 7, and what else would be trained.
skip_eval=false        # Resynthesis, and stages 8 and 9.
skip_packing=false     # Stage 10.
skip_upload_hf=false   # Stage 11, which needs --hf_repo.
fast=false             # Few utterances and steps: does it run? (minutes; poor speech)
fast_data_opts=        # Options of local/data.sh with --fast.
nj=2                   # Parallel jobs of data preparation and training chains.
inference_nj=2         # Parallel jobs of inference.
ngpu=auto              # GPUs per node in training; 0: CPU; auto: 1 where there is one.
num_nodes=1            # Nodes in training.
num_splits=1           # Parts of the training tables, of which one at a time is in memory.
gpu_inference=auto     # Inference on GPUs, one per job; auto: where training is.
shard_size=200         # An inference job has at least this many utterances.
python=python3         # Python with espnet2_taste's requirements.
dumpdir=dump           # Features.
expdir=exp             # Models, syntheses, scores.
tag=                   # Suffix of experiment folders.
overwrite=false        # true: an experiment whose data or configuration changed starts anew.
download_model=        # A packed model (folder, zip, URL, tag) to decode and score, untrained.
pretrained=            # paper: its units, speaker encoder, vocoder and recogniser (bin.download paper).
seed=0                 # Of tokenizer and TASLM training.
# Data (stages 1 and 2)
local_data_opts=       # Options of local/data.sh.
train_set=train        # Its folder in data/.
valid_set=dev          # Its folder in data/.
test_sets="test"       # Their folders in data/; each is scored; the validation set may be one.
fs=native              # Sampling rate of --dumpdir: native, or Hz, e.g. 24k.
audio_format=wav       # Of the audio in --dumpdir: wav, flac, flac.ark.
max_wav_duration=30.0  # Seconds an utterance may have.
long_utts=drop         # Longer ones are dropped and reported, cut (split: between words, at pauses), or kept (keep).
min_wav_duration=0.1   # Seconds; shorter ones are dropped and reported.
filter_test_sets=false # Do these limits and --transcripts_filter hold for test sets, too?
transcripts=text       # What the tokenizer reads: text, or asr (stage 9's recogniser hears it); of one set: "test=asr".
transcripts_args=      # Options of bin.transcribe: --asr_conf language=de, --asr ... (another recogniser).
transcripts_filter=    # Options of bin.take_transcripts: --language en, --max_wer .5 ...
# Units, speakers, alignment (stage 3)
speaker_type=campplus  # Speaker encoder: campplus, xvector, espnet_spk.
speaker_config=conf/train_speaker.yaml  # Training of an xvector.
meter_speaker_config=  # Training of a second xvector, which only measures; empty: speaker_type measures itself.
speaker_model=         # File, folder or tag of a trained one; empty: trained here.
speaker_conf=          # Its further options, "name=value ...".
spk_average=speaker    # Embeddings: of the mean of a speaker's utterances (speaker), or their own (utterance).
unit_type=s3           # Unit extractor: s3, world_vq.
units_config=conf/train_units.yaml  # Training of world_vq.
units_model=           # File, folder or name of a trained one; empty: trained here.
units_conf=            # Its further options, "name=value ...".
vocoder_type=cosyvoice # Units to speech: cosyvoice, world_vq, griffin_lim.
vocoder_model=         # File or folder; empty: trained with the units.
vocoder_conf=          # Its further options, "name=value ...".
asr_config=            # ESPnet CTC model: aligner, `espnet` encoder; empty: none.
asr_args=              # Added to its training.
# Tokenizer (stages 4 to 6)
vocab_size=500         # Text pieces, at most; of data/token_list/hf, too.
segmenter=whitespace   # What words are: whitespace, characters (Chinese, Thai ...), given.
feats_type=raw         # extracted: the frontend runs once, in stage 4 (more disk).
encoder_cache_gib=0    # GiB of a frozen encoder's outputs to keep for later epochs, in the no_vq experiment.
taste_config=conf/train_taste_%s.yaml  # %s: text_only no_vq rvq [text_only_matched].
taste_args=            # Added to each sub-stage.
text_only_exp=         # A trained sub-stage to use; empty: trained here, as the next three.
no_vq_exp=             # Likewise, without quantiser.
taste_exp=             # Likewise, with quantiser.
baseline_exp=          # Likewise, the text-only baseline of stage 6.
taste_model=valid.loss.best.pth  # Checkpoint that goes on to the next stage.
synthesis_args=        # Options of bin.synthesize.
inference_tag=         # Suffix of syntheses and scores; empty: from changed sampling options.
rows="copy text_only no_vq taste"  # Resynthesised and scored; name=<folder>: another trained tokenizer (name_stream: word by word; name_ctc: the text it hears).
sampling_seeds="0 1"   # Each is synthesised and scored; scores are averaged.
# TASLM (stages 7 and 8)
with_taslm=true        # false: neither trained nor scored.
taslm_config=conf/train_taslm.yaml  # Its training.
taslm_args=            # Added to its training.
taslm_exp=             # A trained one to use; empty: trained here.
taslm_model=valid.loss.best.pth  # Checkpoint.
taslm_inference_config=conf/decode_taslm.yaml  # Sampling.
taslm_inference_args=  # Options of bin.taslm_generate.
prompt=                # Of continuations; empty: --prompt_seconds 3, without word times --prompt_words 4.
judge_args=            # E.g. "--endpoint http://host/v1 --model name"; empty: only writes its prompts.
testsets=              # Likelihood tests and questions, "name:layout=folder ..." (bin.prepare_testset).
# Scoring (stage 9)
score_asr=whisper      # Recogniser: whisper, pocketsphinx, openai_whisper, espnet, none.
score_asr_model=       # Its weights: path or name.
grammar=               # JSGF for pocketsphinx; empty: its general language model.
continuation_grammar=  # The same for continuations (ends of sentences).
meters="frames utmos dnsmos speaker versa"  # One without package or weights is named, not computed.
meter_conf=            # E.g. "utmos.model=<file> versa.python=<its python>"; speaker.*: the recipe's own.
score_args=            # Further options of bin.measure and bin.score: --aligner, --asr_conf ...
results=               # Table to write; empty: RESULTS.md, of a --tag RESULTS_<tag>.md.
# Packing and upload (stages 10 and 11)
packed_model=          # zip or folder to write; empty: packed.zip in --expdir.
pack_args=             # Options of bin.pack: --license, --data, --language, --name.
hf_repo=               # user/name on Hugging Face; empty: no upload.
dry_run=false          # true: shows what stage 11 would upload.
upload_args=           # Options of bin.upload: --private, --revision.

help_message="Usage: $0 [options]: TASTE from data to scores (./run.sh gives a recipe's options).
Stages of taste.sh: 1 data, 2 audio, 3 units speakers alignment, 4 tokens, 5 tokenizer
training, 6 codes and resynthesis, 7 TASLM training, 8 continuation and test sets;
of score.sh: 9 scores and report; of pack.sh: 10 packing, 11 upload (with --hf_repo)."

arguments=("$@")
. utils/steps.sh
options_file=${BASH_SOURCE[0]}
. utils/parse_options.sh
[ $# -eq 0 ] || die "no positional arguments, but got '$1' (see --help)"
# What ends this script ends all that it starts.
if [ -z "${RECIPE_PID:-}" ]; then exec python3 -I utils/guard.py "$0" "${arguments[@]}"; fi
nested=true # in taste.sh, which has looked at the options and locked the folder
if [ "${RECIPE_FOLDER:-}" != "${PWD}" ]; then
    nested=false
    export RECIPE_FOLDER=${PWD} TASTE_COMMAND
    TASTE_COMMAND="./${0##*/} $(printf '%q ' "${arguments[@]}")"
fi
. ./path.sh
. ./cmd.sh
command -v "${python}" > /dev/null || die "--python: no ${python}"

# Stages
if "${skip_data_prep}"; then skip_stages+=" 1 2 3 4"; fi
if [ -n "${download_model}" ]; then skip_train=true; fi
if "${skip_train}"; then skip_stages+=" 5 7"; fi
if "${skip_eval}"; then skip_stages+=" 8 9"; fi
if "${skip_packing}" || [ -n "${download_model}" ]; then skip_stages+=" 10"; fi
if "${skip_upload_hf}" || [ -n "${download_model}" ]; then skip_stages+=" 11"; fi
if ! "${with_taslm}"; then skip_stages+=" 7 8"; fi

# --download_model: what it has is neither trained nor aligned here; folders of its own.
if [ -n "${download_model}" ]; then
    name=$(basename "${download_model}" .zip | tr -c 'A-Za-z0-9._\n-' _)
    dumpdir=${dumpdir}/${name} expdir=${expdir}/${name}
    : "${speaker_model:=${download_model}}" "${units_model:=${download_model}}"
    : "${vocoder_model:=${download_model}}"
    asr_config="" rows="copy taste"
fi
if [ "${pretrained}" = paper ]; then # in $TASTE_MODELS, where bin.download puts them
    export TASTE_MODELS=${TASTE_MODELS:-downloads/models}
    cosyvoice=${TASTE_MODELS}/CosyVoice-300M
    [ "${unit_type}" != s3 ] || : "${units_model:=${cosyvoice}/speech_tokenizer_v1.onnx}"
    [ "${speaker_type}" != campplus ] || : "${speaker_model:=${cosyvoice}/campplus.onnx}"
    [ "${vocoder_type}" != cosyvoice ] || : "${vocoder_model:=${cosyvoice}}"
    [ "${score_asr}" != whisper ] || : "${score_asr_model:=openai/whisper-large-v3}"
fi
data=data fast_train=() fast_words=()
if "${fast}"; then
    data=data/fast # a subset of data/
    local_data_opts="${fast_data_opts} ${local_data_opts}"
    fast_train=(--max_epoch 1 --num_iters_per_epoch 4)
    fast_words=(--max_new_words 2)   # of noise: recognisers are slow on it
    sampling_seeds=${sampling_seeds%% *}
fi
: "${results:=RESULTS${tag:+_${tag}}.md}"
if "${fast}" || [ -n "${download_model}" ]; then # nobody's RESULTS.md is overwritten
    [[ "${results}" = */* ]] || results=${expdir}/${results}
fi

# Every value is looked at before hours of work.
given_options=()
while read -r name; do given_options+=("${name}=${!name}"); done \
    < <(sed -n -E '/^help_message=/q; s/^([a-z][a-zA-Z0-9_]*)=.*/\1/p' "${options_file}")
check_options() { "${python}" utils/check.py "$1" "${given_options[@]}" || exit 1; }
"${nested}" || check_options all
. utils/devices.sh

# Names. Of trained models, also the file whose change runs again what uses it.
unique() { printf '%s\n' "$@" | awk '!seen[$0]++'; }
# shellcheck disable=SC2059
taste_conf() { printf "${taste_config}" "$1"; } # <sub-stage>
suffix=${tag:+_${tag}}
given=""  # trained models that options name
for name in text_only no_vq taste baseline taslm; do
    option=${name}_exp
    [ -z "${!option}" ] || given+=" ${name} "
done
: "${text_only_exp:=${expdir}/taste_text_only${suffix}}"
: "${no_vq_exp:=${expdir}/taste_no_vq${suffix}}" "${taste_exp:=${expdir}/taste_rvq${suffix}}"
: "${taslm_exp:=${expdir}/taslm${suffix}}" "${packed_model:=${expdir}/packed${suffix}.zip}"
if [ -f "$(taste_conf text_only_matched)" ]; then # trained as long as no_vq and rvq together
    : "${baseline_exp:=${expdir}/taste_text_only_matched${suffix}}"
fi
: "${baseline_exp:=${text_only_exp}}"
asr_exp=${expdir}/asr units_exp=${expdir}/units speaker_exp=${expdir}/speaker meter_speaker_exp=${expdir}/meter_speaker
units=${units_model:-${units_exp}} vocoder=${vocoder_model:-${units_exp}} speaker=${speaker_model:-${speaker_exp}}
given_or() { if [ -z "$1" ]; then echo "$2"; elif [ -e "$1" ]; then echo "$1"; fi; } # hub: nothing
units_file=$(given_or "${units_model}" "${units_exp}/valid.loss.best.pth")
vocoder_file=$(given_or "${vocoder_model}" "${units_exp}/valid.loss.best.pth")
speaker_file=$(given_or "${speaker_model}" "${speaker_exp}/valid.loss.best.pth")
asr_file=${asr_exp}/valid.loss.best.pth
taste_file=${taste_exp}/${taste_model} taslm_file=${taslm_exp}/${taslm_model}
taste=(--train_config "${taste_exp}/config.yaml" --model_file "${taste_file}")
taslm=(--train_config "${taslm_exp}/config.yaml" --model_file "${taslm_file}")
if [ -n "${download_model}" ]; then
    taste_file=$(given_or "${download_model}") taslm_file=${taste_file}
    taste=(--model_file "${download_model}") taslm=(--model_file "${download_model}")
fi
if [ -z "${inference_tag}" ]; then # as ESPnet's: "--top_k 5" is top_k5
    config=$(basename "${taslm_inference_config}" .yaml)
    inference_tag=${synthesis_args}${taslm_inference_args:+_lm${taslm_inference_args}}
    [ "${config}" = decode_taslm ] || inference_tag=${config}${inference_tag:+_${inference_tag}}
    inference_tag=$(sed -e 's/--/_/g; s/[ |=/]//g; s/^_//; s/__*/_/g' <<< "${inference_tag}")
fi
# shellcheck disable=SC2086
sets=$(unique ${train_set} ${valid_set} ${test_sets})
if "${skip_train}"; then sets=$(unique ${test_sets}); fi
org=${dumpdir}/raw/org  # audio of stage 2
fast_size=96            # utterances of the training set with --fast
if "${fast}" && [ -e "${org}/${train_set}/wav.scp" ] && [ "$(wc -l < "${org}/${train_set}/wav.scp")" -gt "${fast_size}" ]; then
    die "--fast true would replace ${dumpdir}, made of all data: give it a --dumpdir and an --expdir of its own"
fi
raw=${dumpdir}/raw      # with units, speaker embeddings, alignment: stage 3
codes=${dumpdir}/taste${suffix}
splits_dir=${expdir}/splits${num_splits}
decode=${expdir}/decode${suffix}${inference_tag:+_${inference_tag}}
scores=${expdir}/scores${suffix}${inference_tag:+_${inference_tag}}
bpe=data/token_list/bpe/bpe.model
chars=data/token_list/char.txt  # of the recogniser
letters=data/token_list/letters.txt hf_bpe=data/token_list/hf # made where a configuration names them
sound=sound # what ESPnet calls the audio
if [ "${audio_format}" = flac.ark ]; then sound=kaldi_ark; fi
recogniser=(--asr "${score_asr}")
[ -z "${score_asr_model}" ] || recogniser+=(--asr_model "${score_asr_model}")

# part_conf <speaker_conf|units_conf|vocoder_conf>: as the programs take it
part_conf() { local word; for word in ${!1}; do echo "--$1 ${word}"; done; }

# row_keys <row...>: <name>:<seed> of every seed; the copy has none
row_keys() {
    local name s
    for name in "${@%%=*}"; do
        if [ "${name}" = copy ]; then echo copy; continue; fi
        for s in ${sampling_seeds}; do echo "${name}:${s}"; done
    done
}
row_dir() { echo "${decode}/${1/:/_seed}/$2"; } # <key> <set>
testset_names() { local item; for item in ${testsets}; do echo "${item%%:*}"; done; }

# Two runs never write the same files. Stages 1 to 4 serve all --tag's, later ones one,
# so that a run with another tag may start at stage 5 while this one trains.
lock() { # <file> <exclusive|shared|wait>: until this script and what it started have ended
    mkdir -p "$(dirname "$1")"
    exec {descriptor}>> "$1"
    python3 -I utils/lock.py "${descriptor}" "$1" "$2" || exit 1
}
if ! "${nested}"; then
    how=shared
    for option in 1 2 3 4; do if [[ "$0" = *taste.sh ]] && active "${option}"; then how=exclusive; fi; done
    lock "${expdir}/.lock${suffix}" exclusive
    lock data/.lock "${how}"
fi
