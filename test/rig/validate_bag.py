"""Validates a bag step by step as RFC 8493 (BagIt 1.0) says, with Python's standard library alone.

Prints what is wrong, one line each, and nothing for a valid bag. Usage: validate_bag.py DIRECTORY
"""

import hashlib
import os
import re
import sys

problems = []


def problem(text):
    problems.append(text)


def read(*parts):
    with open(os.path.join(*parts), "rb") as file:
        return file.read()


def lines_of(data):
    # 2.1.1, 2.1.3: lines end with LF, CR or CRLF.
    return [line for line in re.split("\r\n|\n|\r", data.decode("utf-8")) if line]


def decoded(path):
    # 2.1.3: LF, CR and percent signs, and only those, are percent-encoded.
    if re.search("%(?!0A|0D|25)", path, re.I):
        problem("a percent sign that is not encoded: " + path)
    return re.sub("%(0A|0D|25)", lambda found: chr(int(found.group(1), 16)), path, flags=re.I)


def read_manifest(bag, name):
    algorithm = re.fullmatch("(?:tag)?manifest-([a-z0-9]+)[.]txt", name).group(1)
    entries = {}
    for line in lines_of(read(bag, name)):
        found = re.fullmatch("([0-9a-fA-F]+)[ \t]+(.+)", line, re.S)
        if not found:
            problem(f"{name}: no line of a manifest: {line!r}")
            continue
        path = decoded(found.group(2))
        if path in entries:
            problem(f"{name}: listed twice: {path!r}")
        entries[path] = found.group(1).lower()
    return algorithm, entries


def digest(algorithm, path):
    hashed = hashlib.new(algorithm)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            hashed.update(block)
    return hashed.hexdigest()


def main(bag):
    # 2.1.1 The bag declaration.
    declaration = read(bag, "bagit.txt")
    if not re.fullmatch(
        rb"BagIt-Version: 1[.]0(?:\r\n|\n|\r)Tag-File-Character-Encoding: UTF-8(?:\r\n|\n|\r)?", declaration
    ):
        problem(f"bagit.txt: {declaration!r}")

    # 2.1.2 The payload directory.
    if not os.path.isdir(os.path.join(bag, "data")):
        problem("no data/")

    payload = {}
    for folder, folders, files in os.walk(os.path.join(bag, "data")):
        for name in folders + files:
            if os.path.islink(os.path.join(folder, name)):
                problem("a link: " + os.path.join(folder, name))
        for name in files:
            path = os.path.join(folder, name)
            payload[os.path.relpath(path, bag)] = os.path.getsize(path)

    # 2.1.3 Payload manifests.
    names = sorted(os.listdir(bag))
    manifests = [name for name in names if re.fullmatch("manifest-[a-z0-9]+[.]txt", name)]
    if not manifests:
        problem("no payload manifest")
    for name in manifests:
        algorithm, entries = read_manifest(bag, name)
        for path in entries:
            if not path.startswith("data/") or ".." in path.split("/"):
                problem(f"{name}: outside the payload: {path!r}")
        # 3. Complete: all that is listed is there, all that is there is listed in every manifest.
        for path in sorted(set(entries) - set(payload)):
            problem(f"{name}: missing: {path!r}")
        for path in sorted(set(payload) - set(entries)):
            problem(f"{name}: not listed: {path!r}")
        # 3. Valid: every checksum.
        for path in sorted(set(entries) & set(payload)):
            if digest(algorithm, os.path.join(bag, path)) != entries[path]:
                problem(f"{name}: wrong checksum: {path!r}")

    # 2.2.1 Tag manifests.
    tag_files = {name for name in names if os.path.isfile(os.path.join(bag, name))}
    tag_manifests = [name for name in names if re.fullmatch("tagmanifest-[a-z0-9]+[.]txt", name)]
    if {name[3:] for name in tag_manifests} != set(manifests):
        problem("tag manifests have other algorithms than payload manifests (SHOULD)")
    for name in tag_manifests:
        algorithm, entries = read_manifest(bag, name)
        for path in entries:
            if path.startswith("data/") or re.fullmatch("tagmanifest-.*", path):
                problem(f"{name}: must not list {path!r}")
            elif path not in tag_files:
                problem(f"{name}: missing: {path!r}")
            elif digest(algorithm, os.path.join(bag, path)) != entries[path]:
                problem(f"{name}: wrong checksum: {path!r}")
        for path in sorted(set(manifests) - set(entries)):
            problem(f"{name}: does not list {path}")
        for path in sorted(tag_files - set(tag_manifests) - set(entries)):
            problem(f"{name}: does not list {path} (SHOULD)")

    # 2.2.2 bag-info.txt.
    info = {}
    for line in lines_of(read(bag, "bag-info.txt")):
        found = re.fullmatch("([^:\\s][^:]*): (.*)", line, re.S)
        if not found:
            problem(f"bag-info.txt: {line!r}")
            continue
        info.setdefault(found.group(1), []).append(found.group(2))
    oxum = f"{sum(payload.values())}.{len(payload)}"
    if info.get("Payload-Oxum") != [oxum]:
        problem(f"Payload-Oxum: {info.get('Payload-Oxum')} is not {oxum}")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", info.get("Bagging-Date", [""])[0]):
        problem("Bagging-Date")

    # 2.2.3 fetch.txt: there is none.
    if "fetch.txt" in names:
        problem("fetch.txt")

    for text in problems:
        print(text)


main(sys.argv[1])
