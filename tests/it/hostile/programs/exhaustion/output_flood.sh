#!/bin/sh
# does: prints without end, on both streams
# ends: output-limit
yes 'this and that' >&2 &
yes 'that and this'
