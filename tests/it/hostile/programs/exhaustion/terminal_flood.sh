#!/bin/sh
# does: floods its terminal
# output: terminal
# ends: output-limit
yes "$(printf '\033]0;title\007\033[6n\033c')"
