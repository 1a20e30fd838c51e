# SPDX-License-Identifier: Apache-2.0
"""avro_archive: reads an archive's manifests and Avro objects; shares no code with what wrote them. Of Avro it knows
what our schema needs, of snappy how to unpack it."""

import hashlib
import json
import os
import struct
import zlib

from process import Failure


class _Bytes:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, length):
        if length < 0 or self.at + length > len(self.data):
            raise Failure("an Avro file ends too early")
        self.at += length
        return self.data[self.at - length:self.at]

    def long(self):
        value, shift, at, data = 0, 0, self.at, self.data
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        self.at = at
        return (value >> 1) ^ -(value & 1)

    def block(self):
        return self.take(self.long())


def unpack_snappy(data):
    """Source: the format description of snappy; one element after the other."""
    length, shift, at = 0, 0, 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:  # bytes as they are
            size = tag >> 2
            if size >= 60:
                more = size - 59
                size = int.from_bytes(data[at:at + more], "little")
                at += more
            out += data[at:at + size + 1]
            at += size + 1
            continue
        if tag & 3 == 1:
            size, offset = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | data[at]
            at += 1
        else:
            wide = 2 if tag & 3 == 2 else 4
            size, offset = 1 + (tag >> 2), int.from_bytes(data[at:at + wide], "little")
            at += wide
        start = len(out) - offset
        if start < 0 or offset == 0:
            raise Failure("a snappy block reaches before its beginning")
        if offset >= size:
            out += out[start:start + size]
        else:
            for i in range(size):
                out.append(out[start + i])
    if len(out) != length:
        raise Failure("a snappy block has another length than it says")
    return bytes(out)


def _reader_of(kind):
    """A function that reads one value of a schema's type."""
    if isinstance(kind, list):
        branches = [_reader_of(branch) for branch in kind]
        return lambda b: branches[b.long()](b)
    if isinstance(kind, dict) and kind["type"] == "fixed":
        return lambda b: b.take(kind["size"])
    name = kind["type"] if isinstance(kind, dict) else kind
    return {"string": lambda b: b.block().decode(), "long": _Bytes.long, "int": _Bytes.long, "null": lambda b: None}[name]


def read_avro(data):
    """All records of an Avro object container file, as dictionaries."""
    b = _Bytes(data)
    if b.take(4) != b"Obj\x01":
        raise Failure("not an Avro file")
    meta = {}
    while True:
        count = b.long()
        if count == 0:
            break
        for _ in range(count):
            key = b.block().decode()
            meta[key] = b.block()
    sync = b.take(16)
    schema = json.loads(meta["avro.schema"])
    fields = [(field["name"], _reader_of(field["type"])) for field in schema["fields"]]
    if meta["avro.codec"] != b"snappy":
        raise Failure(f"codec {meta['avro.codec']}")
    records = []
    while b.at < len(data):
        count, packed = b.long(), b.block()
        if b.take(16) != sync:
            raise Failure("a block does not end with the sync marker")
        block = unpack_snappy(packed[:-4])
        if struct.unpack(">I", packed[-4:])[0] != zlib.crc32(block):
            raise Failure("a block's checksum does not match")
        rows = _Bytes(block)
        for _ in range(count):
            records.append({name: read(rows) for name, read in fields})
        if rows.at != len(block):
            raise Failure("a block holds more than its records")
    return records


def manifests(folder):
    for path, _, names in os.walk(os.path.join(folder, "manifests")):
        for name in sorted(names):
            with open(os.path.join(path, name), encoding="ascii") as file:
                yield json.load(file)


class Archive:
    """Everything that the manifests of a folder vouch for: each object against its manifest, each number once."""

    def __init__(self, folder):
        self.numbers = {}   # (edge, epoch, region, partition) -> {number: (ad, minute, key)}; FIN: None
        self.objects = 0
        self.bytes = 0
        self.records = 0    # overlaps included
        for manifest in manifests(folder):
            self._add(folder, manifest)

    def _add(self, folder, m):
        with open(os.path.join(folder, m["object"]), "rb") as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != m["sha256"] or len(data) != m["bytes"]:
            raise Failure(f"{m['object']} is not what its manifest says")
        records = read_avro(data)
        if len(records) != m["clicks"]:
            raise Failure(f"{m['object']}: {len(records)} clicks, not {m['clicks']}")
        self.objects += 1
        self.bytes += len(data)
        self.records += len(records)
        wanted = {}
        for r in m["ranges"]:
            line = (r["edge"], r["epoch"], m["region"], m["partition"])
            last = r["last"] - (1 if r["fin"] else 0)
            if last - r["first"] != r["clicks"]:
                raise Failure(f"{m['object']}: a range has {r['clicks']} clicks: {r}")
            wanted.update(((line, n), None) for n in range(r["first"], last))
            if r["fin"]:
                self.numbers.setdefault(line, {})[last] = None
        for c in records:
            line = (c["edge"], c["epoch"], c["region"], c["partition"])
            if (line, c["number"]) not in wanted:
                raise Failure(f"{m['object']}: number {c['number']} of {line} is in no range, or there twice")
            del wanted[(line, c["number"])]
            click = (c["ad_id"], c["timestamp"] // 60000, c["key"])
            if self.numbers.setdefault(line, {}).setdefault(c["number"], click) != click:
                raise Failure(f"number {c['number']} of {line} is two different clicks")
        if wanted:
            raise Failure(f"{m['object']}: {len(wanted)} numbers of its ranges are missing")

    def clicks(self):
        """How many numbers are clicks."""
        return sum(sum(1 for click in line.values() if click) for line in self.numbers.values())

    def holes(self):
        """[(line, first number missing)] of lines that are not dense from 0."""
        return [(line, next(n for n in range(len(numbers) + 1) if n not in numbers))
                for line, numbers in self.numbers.items() if sorted(numbers) != list(range(len(numbers)))]

    def counts(self):
        """{ad: {minute: distinct clicks}}, as the settlement would count them."""
        distinct = {click for line in self.numbers.values() for click in line.values() if click}
        counts = {}
        for ad, minute, _ in distinct:
            of_ad = counts.setdefault(ad, {})
            of_ad[str(minute)] = of_ad.get(str(minute), 0) + 1
        return counts
