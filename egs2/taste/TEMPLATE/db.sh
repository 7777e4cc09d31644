# shellcheck shell=bash disable=SC2034
# Where corpora lie on this machine; local/data.sh of a recipe reads its variable.
# `downloads` lets a recipe fetch the corpus into its own folder of that name, where the
# licence allows that.
AN4=downloads
COMMONVOICE=downloads
EMILIA=
FSDD=downloads
LIBRISPEECH=downloads
LIBRITTS=downloads
LIBRITTS_R=downloads
LJSPEECH=downloads
OWN=
TASTE_DUMP=
VCTK=downloads
