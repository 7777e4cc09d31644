# shellcheck shell=bash disable=SC2034
# Where corpora lie on this machine; local/data.sh of a recipe reads its variable.
# `downloads` lets a recipe fetch the corpus into its own folder.
LJSPEECH=downloads
LIBRITTS=downloads
VCTK=downloads
EMILIA=
