# shellcheck shell=bash disable=SC2034
# Where corpora lie on this machine; local/data.sh of a recipe reads its variable.
# `downloads` lets a recipe fetch the corpus into its own folder, where the licence does.
AN4=downloads
COMMONVOICE=downloads
EMILIA=
LIBRISPEECH=downloads
LIBRITTS=downloads
LIBRITTS_R=downloads
LJSPEECH=downloads
VCTK=downloads
