#!/usr/bin/env bash
# TASTE from data to scores, for every recipe: ./run.sh --stage 1 --stop_stage 9
set -e -u -o pipefail

SECONDS=0

# General
stage=1                # First stage to run.
stop_stage=10000       # Last stage to run.
fast=false             # Few utterances and steps: does it run? (minutes; poor speech)
nj=2                   # Parallel jobs of data preparation and training chains.
inference_nj=2         # Parallel jobs of inference.
ngpu=auto              # GPUs per node in training; 0: CPU; auto: 1 where there is one.
num_nodes=1            # Nodes in training.
gpu_inference=auto     # Inference on GPUs, one per job; auto: where training is.
shard_size=200         # An inference job has at least this many utterances.
python=python3         # Python with espnet2_taste's requirements.
dumpdir=dump           # Features.
expdir=exp             # Models, syntheses, scores.
tag=                   # Suffix of experiment folders.
reuse=                 # Sub-stages of runs with another tag: "text_only: no_vq:<tag>".
seed=0                 # Of tokenizer and TASLM training.
# Data (stages 1 and 2)
local_data_opts=       # Options of local/data.sh.
train_set=train        # Its folder in data/.
valid_set=dev          # Its folder in data/.
test_sets="test"       # Their folders in data/; each is scored.
fs=16000               # Sampling rate in Hz.
max_wav_duration=30    # Seconds; longer utterances are dropped and reported.
min_wav_duration=0.1   # Seconds; shorter ones likewise.
# Units, speakers, alignment (stage 3)
speaker_type=xvector   # Speaker encoder: xvector, campplus, espnet_spk.
speaker_config=conf/train_speaker.yaml  # Training of an xvector.
speaker_model=         # File, folder or tag of a trained one; empty: trained here.
unit_type=world_vq     # Unit extractor: world_vq, s3.
units_config=conf/train_units.yaml  # Training of world_vq.
units_model=           # File, folder or name of a trained one; empty: trained here.
vocoder_type=world_vq  # Units to speech: world_vq, griffin_lim, cosyvoice.
vocoder_model=         # File or folder; empty: trained with the units.
asr_config=conf/train_asr.yaml  # ESPnet CTC model: aligner, `espnet` encoder; empty: none.
asr_args=              # Added to its training.
# Tokenizer (stages 4 to 6)
vocab_size=500         # Text pieces, at most.
feats_type=raw         # extracted: the frontend runs once, in stage 4 (more disk).
taste_config=conf/train_taste_%s.yaml  # %s: text_only no_vq rvq [text_only_matched].
taste_args=            # Added to each sub-stage.
taste_model=valid.acc.best.pth  # Checkpoint that goes on to the next stage.
synthesis_args=        # Options of bin.synthesize.
rows="copy text_only no_vq taste"  # Resynthesised and scored.
sampling_seeds="0 1"   # Each is synthesised and scored; scores are averaged.
# TASLM (stages 7 and 8)
with_taslm=true        # false: neither trained nor scored.
taslm_config=conf/train_taslm.yaml  # Its training.
taslm_args=            # Added to its training.
taslm_model=valid.loss.best.pth  # Checkpoint.
taslm_inference_config=conf/decode_taslm.yaml  # Sampling.
taslm_inference_args=  # Options of bin.taslm_generate.
prompt=                # Of continuations; empty: --prompt_seconds 3, without word times --prompt_words 4.
judge_args=            # E.g. "--endpoint http://host/v1 --model name"; empty: only writes its prompts.
testsets=              # Likelihood tests and questions, "name:layout=folder ..." (bin.prepare_testset).
# Scoring (stage 9)
score_asr=pocketsphinx # Recogniser: pocketsphinx, whisper, openai_whisper, espnet, none.
score_asr_model=       # Its weights: path or name.
grammar=               # JSGF for pocketsphinx; empty: its general language model.
continuation_grammar=  # The same for continuations (ends of sentences).
meters="frames utmos dnsmos speaker versa"  # One without package or weights is named, not computed.
meter_conf=            # E.g. "utmos.model=<file> versa.python=<its python>"; speaker.*: the recipe's own.
score_args=            # Further options of bin.measure and bin.score: --aligner, --asr_conf ...
results=RESULTS.md     # Table to write.
# Packing and upload (stages 10 and 11)
packed_model=          # zip or folder to write; empty: packed.zip in --expdir.
pack_args=             # Options of bin.pack: --license, --data, --language, --name.
hf_repo=               # user/name on Hugging Face; empty: no upload.
dry_run=false          # true: shows what stage 11 would upload.
upload_args=           # Options of bin.upload: --private, --revision.
help_message="Usage: $0 [options]: TASTE from data to scores.
Stages: 1 data, 2 audio, 3 units speakers alignment, 4 tokens, 5 tokenizer training,
6 codes and resynthesis, 7 TASLM training, 8 continuation and test sets,
9 scores and report, 10 packing, 11 upload (with --hf_repo)."

command_line="$0 $(printf '%q ' "$@")"
. utils/steps.sh
. utils/parse_options.sh
[ $# -eq 0 ] || die "no positional arguments, but got '$1' (see --help)"
. ./path.sh
. ./cmd.sh
. utils/devices.sh
export RECIPE_PID=$$ # jobs end with this process, even when it is killed

raw=${dumpdir}/raw
org=${raw}/org          # audio of stage 2
all=${raw}/all          # all sets together, while stage 3 works on them
units_exp=${expdir}/units
speaker_exp=${expdir}/speaker
asr_exp=${expdir}/asr
speaker=${speaker_model:-${speaker_exp}}
units=${units_model:-${units_exp}}
vocoder=${vocoder_model:-${units_exp}}
# tag_of <sub-stage>: of the run that trains it
tag_of() {
    local item
    for item in ${reuse}; do
        if [ "${item%%:*}" = "$1" ]; then echo "${item#*:}"; return; fi
    done
    echo "${tag}"
}
# taste_dir <sub-stage>
taste_dir() { local of; of=$(tag_of "$1"); echo "${expdir}/taste_$1${of:+_${of}}"; }
taste_exp=$(taste_dir rvq)
taslm_exp=${expdir}/taslm${tag:+_${tag}}
codes=${dumpdir}/taste${tag:+_${tag}}
decode=${expdir}/decode${tag:+_${tag}}
scores=${expdir}/scores${tag:+_${tag}}
: "${packed_model:=${expdir}/packed${tag:+_${tag}}.zip}"
bpe=data/token_list/bpe/bpe.model
chars=data/token_list/char.txt
test_set=${test_sets%% *}
# shortened <config>: a copy of it with few steps, for --fast.
shortened() {
    local copy; copy=${expdir}/fast_$(basename "$1")
    mkdir -p "${expdir}"
    sed -E 's/^( *(max_steps|num_steps|steps|max_iter)):.*/\1: 20/' "$1" > "${copy}.$$"
    mv "${copy}.$$" "${copy}"
    echo "${copy}"
}
# chooses <config> <key> <value>: does a configuration file say so?
chooses() { grep -Eq "^$2: *$3 *(#|\$)" "$1"; }
# token_args <config>: the text pieces of stage 4, unless it names a vocabulary
token_args() {
    if ! grep -q '^token_type:' "$1" || chooses "$1" token_type bpe; then
        echo "--token_model ${bpe}"
    fi
}
# taste_conf <sub-stage>: its configuration file
# shellcheck disable=SC2059
taste_conf() { printf "${taste_config}" "$1"; }
# What the baseline of stage 6 is: text only, trained as long as the rest if so configured.
baseline=text_only
if [ -f "$(taste_conf text_only_matched)" ]; then baseline=text_only_matched; fi
# given <model> <its mark if trained here>: what to watch for changes
given() { if [ -z "$1" ]; then echo "$2"; elif [ -f "$1" ]; then echo "$1"; fi; }
speaker_mark=$(given "${speaker_model}" "${speaker_exp}/.done")
units_mark=$(given "${units_model}" "${units_exp}/.done")
vocoder_mark=$(given "${vocoder_model}" "${units_exp}/.done")
# needs_model <type option> <types trained here> <model option>
needs_model() {
    [ -n "${!3}" ] || [[ " $2 " = *" ${!1} "* ]] \
        || die "--$1 ${!1} is not trained here: give --$3"
}
needs_model speaker_type xvector speaker_model
needs_model unit_type world_vq units_model
needs_model vocoder_type "world_vq griffin_lim" vocoder_model
[ -n "${vocoder_model}" ] || [ -z "${units_model}" ] \
    || die "--units_model: a vocoder is trained with units only: give --vocoder_model"
fast_data=() fast_train=()
if "${fast}"; then
    fast_data=(--num_train 96 --num_dev 4 --num_test 4)
    [ -z "${testsets}" ] || fast_data+=(--num_pairs 2)
    fast_train=(--max_epoch 1 --num_iters_per_epoch 4)
    sampling_seeds=${sampling_seeds%% *}
    [[ "${results}" = */* ]] || results=${expdir}/${results}  # nobody's RESULTS.md is overwritten
    [ -n "${speaker_model}" ] || speaker_config=$(shortened "${speaker_config}")
    [ -n "${units_model}" ] || units_config=$(shortened "${units_config}")
fi

recipe=$(basename "${PWD}")
if [ -f data/.recipe ] && [ "$(<data/.recipe)" != "${recipe}" ]; then
    die "data/ was made by recipe '$(<data/.recipe)' and copied here:" \
        "rm -r data ${dumpdir} ${expdir}, then start at stage 1"
fi
sets="${train_set} ${valid_set} ${test_sets}"

if active 1; then
    begin 1 "local/data.sh"
    mkdir -p data
    # shellcheck disable=SC2086
    run_step data/.done_data "local/data.sh" \
        local/data.sh "${fast_data[@]}" ${local_data_opts}
    echo "${recipe}" > data/.recipe
    for set in ${sets}; do need "data/${set}/wav.scp" 1; done
    end 1 "$(for set in ${sets}; do echo -n "data/${set} "; done)"
fi

format_set() {
    ${python} -m espnet2_taste.bin.format_wav "data/$1" "${org}/$1" --nj "${nj}" "${@:2}"
}

if active 2; then
    begin 2 "audio to ${fs} Hz mono"
    for set in ${sets}; do
        need "data/${set}/wav.scp" 1
        run_step "${org}/${set}/.done" "data/${set}/wav.scp data/${set}/text data/${set}/utt2spk" \
            format_set "${set}" --fs "${fs}" --max_wav_duration "${max_wav_duration}" \
            --min_wav_duration "${min_wav_duration}"
    done
    end 2 "${org}/{${sets// /,}}"
fi

combine_sets() {
    # shellcheck disable=SC2086
    datadir combine ${sets_org} --target "${all}"
}
extract_speakers() {
    local dir=${all}/log/spk_emb
    sharded "${dir}" "${all}/wav.scp" ${python} -m espnet2_taste.bin.extract_speakers \
        --model_type "$1" --model "$2" --data_dir "${all}" --device "${device}"
    datadir merge "${dir}" "${dir}"
    ${python} -m espnet2_taste.bin.extract_speakers --average speaker \
        --spk_emb "${dir}/spk_emb.scp" --data_dir "${all}" --output_dir "${dir}/averaged"
    cp "${dir}"/averaged/{spk_emb.scp,spk_embed_dim} "${all}/"
}
train_units() {
    job "${own_train_cmd}" "${units_exp}/train.log" ${python} -m espnet2_taste.bin.train_units \
        --config "${units_config}" --data_dir "${org}/${train_set}" --nj "${nj}" \
        --spk_emb "${all}/spk_emb.scp" --output_dir "${units_exp}" --device "${train_device}"
}
train_speaker() {
    job "${own_train_cmd}" "${speaker_exp}/train.log" ${python} -m espnet2_taste.bin.train_speaker \
        --config "${speaker_config}" --data_dir "${org}/${train_set}" --output_dir "${speaker_exp}" \
        --device "${train_device}"
}
extract_units() {
    local dir=${all}/log/units
    sharded "${dir}" "${all}/wav.scp" ${python} -m espnet2_taste.bin.extract_units \
        --model_type "$1" --model "$2" --data_dir "${all}" --device "${device}"
    datadir merge "${dir}" "${all}"
}
unit_chain() {
    local train_files="${org}/${train_set}/wav.scp ${org}/${train_set}/utt2num_samples"
    if [ -z "${speaker_model}" ]; then
        run_step "${speaker_exp}/.done" "${speaker_config} ${train_files}" train_speaker
    fi
    run_step "${all}/.done_spk_emb" "${all}/wav.scp ${all}/utt2spk ${speaker_mark}" \
        extract_speakers "${speaker_type}" "${speaker}"
    if [ -z "${units_model}" ]; then
        run_step "${units_exp}/.done" "${units_config} ${train_files} ${all}/.done_spk_emb" \
            train_units
    fi
    run_step "${all}/.done_units" "${all}/wav.scp ${units_mark}" \
        extract_units "${unit_type}" "${units}"
}
asr_chain() {
    run_step "${chars%/*}/.done_char" "${org}/${train_set}/text" \
        ${python} -m espnet2_taste.bin.train_tokenizer --token_type asr \
        --data_dir "${org}/${train_set}" --output "${chars}"
    # shellcheck disable=SC2046,SC2086
    run_step "${asr_exp}/.done" \
        "${asr_config} ${chars} $(tables_of "${org}" wav.scp text utt2num_samples)" \
        train "${asr_exp}" espnet2.bin.asr_train --config "${asr_config}" \
        --token_type char --token_list "${chars}" \
        --train_shape_file "${org}/${train_set}/utt2num_samples" \
        --valid_shape_file "${org}/${valid_set}/utt2num_samples" \
        $(both_sets "speech:${org}/SET/wav.scp:sound" "text:${org}/SET/text:text") \
        "${fast_train[@]}" ${asr_args}
}
align() {
    local dir=${all}/log/align
    sharded "${dir}" "${all}/wav.scp" ${python} -m espnet2_taste.bin.align --data_dir "${all}" \
        --asr_config "${asr_exp}/config.yaml" --asr_model "${asr_exp}/valid.loss.best.pth" \
        --device "${device}"
    datadir merge "${dir}" "${dir}" f0_sum.scp prosody.scp
    datadir merge "${dir}" "${all}" durations.scp words.ctm
    ${python} -m espnet2_taste.bin.align --speaker_mean --data_dir "${all}" --output_dir "${dir}"
}
# distribute [<alignment's mark>]
distribute() {
    local set
    [ -n "${1:-}" ] || rm -f "${all}"/{.done_align,durations.scp,prosody.scp,words.ctm}
    for set in ${sets}; do
        rm -rf "${raw:?}/${set}"
        datadir subset "${all}" "${raw}/${set}" --allow_missing --key_file "${org}/${set}/wav.scp"
        datadir fix "${raw}/${set}"  # what units, speakers and alignment have in common
        cp "${all}/unit_spec.yaml" "${raw}/${set}/"
    done
}

if active 3; then
    begin 3 "speech units, speaker embeddings, alignment"
    sets_org=""
    for set in ${sets}; do
        need "${org}/${set}/utt2num_samples" 2
        sets_org+="${org}/${set} "
    done
    tables=""
    for dir in ${sets_org}; do tables+="${dir}/wav.scp ${dir}/text ${dir}/utt2spk ${dir}/utt2num_samples "; done
    run_step "${all}/.done_combine" "${tables}" combine_sets
    aligned=""
    if [ -n "${asr_config}" ]; then
        in_parallel unit_chain asr_chain
        aligned=${all}/.done_align
        run_step "${aligned}" "${all}/.done_units ${all}/text ${asr_exp}/.done" align
    else
        unit_chain
    fi
    # shellcheck disable=SC2086
    run_step "${raw}/.done_sets" "${aligned} ${all}/.done_units ${all}/.done_spk_emb" \
        distribute ${aligned}
    end 3 "${raw}/{${sets// /,}} with speaker embeddings and units of ${speaker} and ${units}"
fi

write_shapes() {
    local set
    for set in "${train_set}" "${valid_set}"; do
        mkdir -p "${expdir}/stats/${set}"
        cp "${raw}/${set}/utt2num_samples" "${expdir}/stats/${set}/speech_shape"
        awk '{print $1, NF - 1}' "${raw}/${set}/text" > "${expdir}/stats/${set}/words_shape"
    done
}

extract_feats() {
    local dir=${all}/log/feats set
    sharded "${dir}" "${all}/wav.scp" ${python} -m espnet2_taste.bin.extract_feats \
        --config "$(taste_conf no_vq)" --data_dir "${all}" --device "${device}"
    datadir merge "${dir}" "${all}" feats.scp
    for set in "${train_set}" "${valid_set}"; do
        utils/filter_scp.pl "${raw}/${set}/text" "${all}/feats.scp" > "${raw}/${set}/feats.scp.tmp"
        mv "${raw}/${set}/feats.scp.tmp" "${raw}/${set}/feats.scp"
    done
}

if active 4; then
    begin 4 "text tokens and lengths"
    need "${raw}/.done_sets" 3
    run_step "${bpe%/*}/.done" "${raw}/${train_set}/text" \
        ${python} -m espnet2_taste.bin.train_tokenizer --data_dir "${raw}/${train_set}" \
        --vocab_size "${vocab_size}" --output "${bpe}"
    run_step "${expdir}/stats/.done" "$(tables_of "${raw}" text utt2num_samples)" write_shapes
    if [ "${feats_type}" = extracted ]; then
        run_step "${all}/.done_feats" "$(taste_conf no_vq) ${raw}/.done_sets" extract_feats
    fi
    end 4 "${bpe}, ${expdir}/stats"
fi

# sub_stage <name> [<initial sub-stage>]
sub_stage() {
    local name=$1 dir config options=() files data=""
    dir=$(taste_dir "${name}")
    if [ "$(tag_of "${name}")" != "${tag}" ]; then need "${dir}/.done" 5; return; fi
    config=$(taste_conf "${name}")
    files="${config} ${bpe} ${raw}/.done_sets"
    case ${name} in
        text_only*) ;; # never hears the audio
        *) if [ "${feats_type}" = extracted ]; then
            data+=" feats:${raw}/SET/feats.scp:kaldi_ark"
        else
            data+=" speech:${raw}/SET/wav.scp:sound"
        fi ;;
    esac
    if [ -n "${asr_config}" ]; then
        data+=" durations:${raw}/SET/durations.scp:kaldi_ark"
        data+=" prosody:${raw}/SET/prosody.scp:kaldi_ark"
    fi
    if chooses "${config}" encoder espnet; then
        options+=(--encoder_conf asr_config="${asr_exp}/config.yaml"
            --encoder_conf asr_model="${asr_exp}/valid.loss.best.pth")
        files+=" ${asr_exp}/.done"
    fi
    if [ -n "${2:-}" ]; then
        options+=(--init_param "$(taste_dir "$2")/${taste_model}")
        files+=" $(taste_dir "$2")/.done"
    fi
    # shellcheck disable=SC2046,SC2086
    run_step "${dir}/.done" "${files}" \
        train "${dir}" espnet2_taste.bin.taste_train --seed "${seed}" \
        --config "${config}" $(token_args "${config}") \
        --unit_spec "${all}/unit_spec.yaml" --spk_embed_dim "$(<"${all}/spk_embed_dim")" \
        --train_shape_file "${expdir}/stats/${train_set}/speech_shape" \
        --valid_shape_file "${expdir}/stats/${valid_set}/speech_shape" \
        $(both_sets "text:${raw}/SET/text:text" "units:${raw}/SET/units.scp:kaldi_ark" \
            "spk_emb:${raw}/SET/spk_emb.scp:kaldi_ark" ${data}) \
        "${options[@]}" "${fast_train[@]}" ${taste_args}
}
taste_chain() { sub_stage no_vq text_only; sub_stage rvq no_vq; }

if active 5; then
    begin 5 "tokenizer: text-only, without quantiser, with quantiser; and the baseline"
    need "${expdir}/stats/.done" 4
    OMP_NUM_THREADS=${nj} sub_stage text_only  # alone: it may use all cores
    chains=(taste_chain)
    if [ "${baseline}" != text_only ]; then chains+=("sub_stage ${baseline} text_only"); fi
    in_parallel "${chains[@]}"
    end 5 "$(taste_dir text_only), $(taste_dir no_vq), $(taste_dir rvq), baseline $(taste_dir "${baseline}");
each with images/ (training curves) and att_ws/ (attention)"
fi

# tokenize <dir> <data dir> <keys> <bin.tokenize args...>
tokenize() {
    sharded "$1/log" "$3" ${python} -m espnet2_taste.bin.tokenize --data_dir "$2" \
        --train_config "${taste_exp}/config.yaml" --model_file "${taste_exp}/${taste_model}" \
        --device "${device}" "${@:4}"
    datadir merge "$1/log" "$1"
}
tokenize_sets() {
    local set
    tokenize "${codes}" "${all}" "${all}/keys" --attention_keys "${raw}/${test_set}/text"
    for set in ${sets}; do
        mkdir -p "${codes}/${set}"
        cp "${codes}"/{num_codebooks,codebook_size,rtf.json} "${codes}/${set}/"
        utils/filter_scp.pl "${raw}/${set}/text" "${codes}/taste.scp" > "${codes}/${set}/taste.scp.tmp"
        mv "${codes}/${set}/taste.scp.tmp" "${codes}/${set}/taste.scp"
    done
}
# synthesize <dir> <data dir> <model dir> <seed> <bin.synthesize args...>
synthesize() {
    local dir=$1 data=$2 model=$3
    sharded "${dir}/log" "${data}/text" ${python} -m espnet2_taste.bin.synthesize \
        --train_config "${model}/config.yaml" --model_file "${model}/${taste_model}" \
        --data_dir "${data}" --device "${device}" --seed "$4" "${@:5}"
    datadir merge "${dir}/log" "${dir}"
}
# copy_synthesis <dir> <data dir> <bin.synthesize args...>
copy_synthesis() {
    sharded "$1/log" "$2/text" ${python} -m espnet2_taste.bin.synthesize --condition units \
        --data_dir "$2" --device "${device}" --batch_size 16 "${@:3}"
    datadir merge "$1/log" "$1"
}
# row_keys <name...>: <name>:<seed> of every seed; the copy has none
row_keys() {
    local name s
    for name in "$@"; do
        if [ "${name}" = copy ]; then echo copy; continue; fi
        for s in ${sampling_seeds}; do echo "${name}:${s}"; done
    done
}
# row_dir <key> <set>
row_dir() { echo "${decode}/${1/:/_seed}/$2"; }
# said <key> <set> <sub-stage> <bin.synthesize args...>
said() {
    local dir model
    dir=$(row_dir "$1" "$2")
    model=$(taste_dir "$3")
    # shellcheck disable=SC2086
    run_step "${dir}/.done" "${model}/.done ${raw}/.done_sets ${vocoder_mark} ${codes}/.done" \
        synthesize "${dir}" "${raw}/$2" "${model}" "${1#*:}" --vocoder_type "${vocoder_type}" \
        --vocoder "${vocoder}" "${@:4}" ${synthesis_args}
}
copied() {
    run_step "${decode}/copy/$1/.done" "${raw}/.done_sets ${vocoder_mark}" \
        copy_synthesis "${decode}/copy/$1" "${raw}/$1" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}"
}
# row <key> <set>
row() {
    case ${1%:*} in
        copy) copied "$2" ;;
        text_only) said "$1" "$2" "${baseline}" --condition text ;;
        no_vq) said "$1" "$2" no_vq --condition speech ;;
        taste) said "$1" "$2" rvq --condition codes --taste "${codes}/$2/taste.scp" ;;
        *) die "--rows: no row '${1%:*}', but copy, text_only, no_vq and taste" ;;
    esac
}

if active 6; then
    begin 6 "TASTE codes of all sets; resynthesis of ${test_sets}"
    need "${taste_exp}/.done" 5
    for set in ${sets}; do cut -d' ' -f1 "${raw}/${set}/text"; done | sort > "${all}/keys"
    run_step "${codes}/.done" "${taste_exp}/.done ${all}/keys" tokenize_sets
    wanted=()
    for set in ${test_sets}; do
        # shellcheck disable=SC2086
        for key in $(row_keys ${rows}); do wanted+=("row ${key} ${set}"); done
    done
    in_parallel "${wanted[@]}"
    end 6 "${codes}, ${decode}/{${rows// /,}}*"
fi

if active 7 && "${with_taslm}"; then
    begin 7 "TASLM training"
    need "${codes}/${train_set}/taste.scp" 6
    need "${taste_exp}/${taste_model}" 5
    # shellcheck disable=SC2046,SC2086
    run_step "${taslm_exp}/.done" "${taslm_config} ${codes}/.done ${raw}/.done_sets ${bpe}" \
        train "${taslm_exp}" espnet2_taste.bin.taslm_train --seed "${seed}" \
        --config "${taslm_config}" \
        --taste_config "${taste_exp}/config.yaml" --taste_model "${taste_exp}/${taste_model}" \
        $(token_args "${taslm_config}") \
        --train_shape_file "${expdir}/stats/${train_set}/words_shape" \
        --valid_shape_file "${expdir}/stats/${valid_set}/words_shape" \
        $(both_sets "text:${raw}/SET/text:text" "taste:${codes}/SET/taste.scp:kaldi_ark") \
        "${fast_train[@]}" ${taslm_args}
    end 7 "${taslm_exp}, curves in ${taslm_exp}/images"
fi

# generate <dir> <data dir> <taste.scp> <seed> <bin.taslm_generate args...>
generate() {
    local dir=$1
    sharded "${dir}/log" "$2/text" ${python} -m espnet2_taste.bin.taslm_generate \
        --train_config "${taslm_exp}/config.yaml" --model_file "${taslm_exp}/${taslm_model}" \
        --data_dir "$2" --taste "$3" --device "${device}" \
        --config "${taslm_inference_config}" --seed "$4" "${@:5}"
    datadir merge "${dir}/log" "${dir}"
}
# continue_and_say <dir> <set> <seed> <vocoder type> <vocoder> <bin.taslm_generate args...>
continue_and_say() {
    local dir=$1
    generate "${dir}/generated" "${raw}/$2" "${codes}/$2/taste.scp" "$3" "${@:6}"
    synthesize "${dir}" "${dir}/generated" "${taste_exp}" "$3" --condition codes \
        --taste "${dir}/generated/taste.scp" --vocoder_type "$4" --vocoder "$5"
    cp "${dir}/generated/prompt_text" "${dir}/prompt_text"
}
# continuation <name> <set> <seed> <bin.taslm_generate args...>
continuation() {
    local dir length=${prompt}
    dir=$(row_dir "$1:$3" "$2")
    if [ -z "${length}" ] && [ -z "${asr_config}" ]; then length="--prompt_words 4"; fi
    [ -n "${length}" ] || length="--prompt_seconds 3 --ctm ${raw}/$2/words.ctm"
    # shellcheck disable=SC2086
    run_step "${dir}/.done" \
        "${taslm_exp}/.done ${taslm_inference_config} ${codes}/.done ${vocoder_mark}" \
        continue_and_say "${dir}" "$2" "$3" "${vocoder_type}" "${vocoder}" \
        "${@:4}" ${length} ${taslm_inference_args}
    # shellcheck disable=SC2086
    run_step "${dir}/.done_judge" "${dir}/.done" ${python} -m espnet2_taste.bin.judge \
        --data_dir "${dir}" --output_dir "${dir}" ${judge_args}
}

recogniser=(--asr "${score_asr}")
[ -z "${score_asr_model}" ] || recogniser+=(--asr_model "${score_asr_model}")
. utils/testsets.sh
if active 8 && "${with_taslm}"; then
    begin 8 "TASLM continuation of the prompts of ${test_sets}, a control; test sets"
    need "${taslm_exp}/${taslm_model}" 7
    wanted=(run_testsets)
    for set in ${test_sets}; do
        for s in ${sampling_seeds}; do
            wanted+=("continuation taslm ${set} ${s} --prompt_codes own"
                "continuation control ${set} ${s} --prompt_codes shuffled")
        done
    done
    in_parallel "${wanted[@]}"
    end 8 "${decode}/{taslm,control}_seed*${testsets:+, ${decode}/{likelihood,qa\}}"
fi

# row_folders <set> <key...>: as bin.score takes them
row_folders() { local key; for key in "${@:2}"; do echo "${key}=$(row_dir "${key}" "$1")"; done; }
# score <set> <bin.score args...> -- <args that bin.measure takes too...>
score() {
    local own=() dir=${scores}/$1 set=$1
    shift
    while [ "$1" != -- ]; do own+=("$1"); shift; done
    shift
    shard_size=16 sharded "${dir}/measures" "${raw}/${set}/text" \
        ${python} -m espnet2_taste.bin.measure "$@" --cache_dir "${dir}/measures"
    job "${infer_cmd}" "${dir}/score.log" ${python} -m espnet2_taste.bin.score "$@" \
        "${own[@]}" --output_dir "${dir}"
}
# needs_rows <set> <stage> <name...>: adds to marks
needs_rows() {
    local key
    for key in $(row_keys "${@:3}"); do
        need "$(row_dir "${key}" "$1")/.done" "$2"
        marks+=" $(row_dir "${key}" "$1")/.done"
    done
}
# score_set <set>
# shellcheck disable=SC2046,SC2086,SC2206,SC2207
score_set() {
    local marks=${codes}/.done own both
    needs_rows "$1" 6 ${rows}
    own=(--conditioned_by "${speaker_type}=${speaker}" --rtf_dirs "${all}/log/spk_emb"
        --train_dir "${raw}/${train_set}"
        --taste "${codes}/$1/taste.scp"
        --train_taste "${codes}/${train_set}/taste.scp")
    both=(--ref_dir "${raw}/$1" --rows $(row_folders "$1" $(row_keys ${rows}))
        "${recogniser[@]}" ${grammar:+--grammar "${grammar}"} --meters ${meters}
        --device "${device}" ${score_args})
    if "${with_taslm}"; then
        needs_rows "$1" 8 taslm control
        if [ "$1" = "${test_set}" ]; then  # tests of the language model: with the first set
            marks+=$(testset_marks)
            own+=(--likelihood $(testset_folders likelihood pairs)
                --qa $(testset_folders qa answers.jsonl))
        fi
        both+=(--continuation_rows $(row_folders "$1" $(row_keys taslm control))
            ${continuation_grammar:+--continuation_grammar "${continuation_grammar}"})
    fi
    both+=(--meter_conf)
    [[ " ${meters} " != *" speaker "* ]] || both+=("speaker.type=${speaker_type}" "speaker.model=${speaker}")
    run_step "${scores}/$1/.done" "${marks}" score "$1" "${own[@]}" -- "${both[@]}" ${meter_conf}
}

if active 9; then
    begin 9 "scores and report"
    scored=() marks=()
    for set in ${test_sets}; do
        score_set "${set}"
        scored+=("${set}=${scores}/${set}") marks+=("${scores}/${set}/.done")
    done
    trained=()
    if [ -n "${asr_config}" ]; then trained+=(asr="${asr_exp}"); fi
    trained+=(text_only="$(taste_dir text_only)" no_vq="$(taste_dir no_vq)" taste="${taste_exp}")
    if "${with_taslm}"; then trained+=(taslm="${taslm_exp}"); fi
    run_step "${scores}/.done_report" "${marks[*]}" \
        ${python} -m espnet2_taste.bin.report --score_dirs "${scored[@]}" --title "${recipe}" \
        --attention_dir "${codes}/log" --results "${results}" --html "${scores}/report.html" \
        --exp_dirs "${trained[@]}" --commands "${command_line}"
    cat "${results}"
    end 9 "${results} and ${PWD}/${scores}/report.html"
fi

if active 10; then
    begin 10 "one file that opens anywhere"
    files="${taste_exp}/.done ${vocoder_mark} ${units_mark} ${speaker_mark}"
    scored=()
    for set in ${test_sets}; do
        need "${scores}/${set}/results.json" 9
        files+=" ${scores}/${set}/.done"
        scored+=("${set}=${scores}/${set}")
    done
    parts=(--taste "${taste_exp}/${taste_model}")
    if "${with_taslm}"; then
        need "${taslm_exp}/.done" 7
        files+=" ${taslm_exp}/.done"
        parts+=(--taslm "${taslm_exp}/${taslm_model}")
    fi
    # shellcheck disable=SC2086
    run_step "${packed_model}.done" "${files}" ${python} -m espnet2_taste.bin.pack "${parts[@]}" \
        --vocoder_type "${vocoder_type}" --vocoder "${vocoder}" --unit_type "${unit_type}" \
        --units "${units}" --speaker_type "${speaker_type}" --speaker "${speaker}" \
        --results "${scored[@]}" ${hf_repo:+--name "${hf_repo}"} ${pack_args} \
        --output "${packed_model}"
    end 10 "${packed_model}"
fi

if active 11; then
    if [ -z "${hf_repo}" ]; then
        log "stage 11: nothing is uploaded (--hf_repo user/name)"
    else
        begin 11 "upload to ${hf_repo}"
        need "${packed_model}" 10
        if "${dry_run}"; then upload_args+=" --dry_run"; fi
        # shellcheck disable=SC2086
        ${python} -m espnet2_taste.bin.upload --packed "${packed_model}" --repo "${hf_repo}" ${upload_args}
        end 11 "${hf_repo}"
    fi
fi
log "finished in ${SECONDS} s"
