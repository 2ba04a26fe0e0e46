#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Names the layout of what two daemons share while one replaces the other: a hash of the files
that define it, without their comments and spacing."""
import hashlib
import pathlib
import re
import sys

text = "".join(pathlib.Path(name).read_text() for name in sys.argv[1:])
text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
name = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
print(f'#define SHARED_LAYOUT "{name}"')
