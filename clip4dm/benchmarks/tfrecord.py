"""TFRecord files of tf.train.Example, without TensorFlow.

A record is: length (uint64, little endian), its masked CRC-32C (uint32), the data, their masked CRC-32C. Every sum
is checked. The data are a tf.train.Example, read by protobuf through a descriptor made here; protobuf and
google-crc32c are imported where a file is read, since no other benchmark needs them.
Source: TensorFlow's documented record format and example.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from clip4dm.errors import CLIP4DMError
from clip4dm.files.reading import check_regular

Feature = list[bytes] | list[float] | list[int]
_LARGEST_RECORD = 1 << 31  # protobuf's own limit
# example.proto and feature.proto of TensorFlow, under names of our own.
_EXAMPLE_PROTO = """
name: "clip4dm_example.proto" package: "clip4dm" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 type: TYPE_BYTES label: LABEL_REPEATED } }
message_type { name: "FloatList" field { name: "value" number: 1 type: TYPE_FLOAT label: LABEL_REPEATED } }
message_type { name: "Int64List" field { name: "value" number: 1 type: TYPE_INT64 label: LABEL_REPEATED } }
message_type {
  name: "Feature"
  oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".clip4dm.BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".clip4dm.FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".clip4dm.Int64List" oneof_index: 0 }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".clip4dm.Features.FeatureEntry"
  }
  nested_type {
    name: "FeatureEntry"
    options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".clip4dm.Feature" }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".clip4dm.Features" }
}
"""


class TFRecordError(CLIP4DMError, ValueError):
    """A record file that is cut short or damaged: names the file and the record."""


def read_examples(path: Path) -> Iterator[dict[str, Feature]]:
    """The Examples of a file: feature name -> list of bytes, floats or ints. Errors: TFRecordError, FileError.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "data.tfrecord"
    >>> write_examples(path, [{"filename": [b"cup.png"], "score": [0.5]}])
    >>> sorted(next(read_examples(path)).items())
    [('filename', [b'cup.png']), ('score', [0.5])]
    """
    from google.protobuf.message import DecodeError

    for number, data in enumerate(_records(Path(path))):
        try:
            example = _example_class().FromString(data)
        except DecodeError as error:
            raise TFRecordError(f"{path}, record {number}: not a tf.train.Example ({error})") from error
        yield {name: _values(feature) for name, feature in example.features.feature.items()}


def write_examples(path: Path, rows: Iterable[Mapping[str, Feature]]) -> None:
    """Write Examples as TensorFlow would. Errors: OSError.

    rows: feature name -> a list of bytes, of floats or of ints, all of one kind; see `read_examples`.

        write_examples(Path("data.tfrecord"), [{"filename": [b"cup.png"], "score": [0.5]}])
    """
    with open(path, "wb") as file:
        for row in rows:
            example = _example_class()()
            for name, values in row.items():
                kinds = {type(value) for value in values}
                kind = "bytes_list" if kinds == {bytes} else "float_list" if kinds == {float} else "int64_list"
                getattr(example.features.feature[name], kind).value.extend(values)
            data = example.SerializeToString(deterministic=True)
            length = struct.pack("<Q", len(data))
            file.write(length + _masked(length) + data + _masked(data))


def _records(path: Path) -> Iterator[bytes]:
    check_regular(path)
    with open(path, "rb") as file:
        number = 0
        while header := file.read(12):
            if len(header) < 12 or _masked(header[:8]) != header[8:]:
                raise TFRecordError(
                    f"{path}, record {number}: its length is {_damage(header, 12)}. "
                    "The file is cut short, or no tfrecord"
                )
            (length,) = struct.unpack("<Q", header[:8])
            if length > _LARGEST_RECORD:
                raise TFRecordError(f"{path}, record {number}: {length} bytes are more than a record may hold")
            data = file.read(length + 4)
            if len(data) < length + 4 or _masked(data[:-4]) != data[-4:]:
                raise TFRecordError(
                    f"{path}, record {number}: its data are {_damage(data, length + 4)}. Fetch the file again"
                )
            yield data[:-4]
            number += 1


def _damage(found: bytes, wanted: int) -> str:
    return f"cut short ({len(found)} of {wanted} bytes)" if len(found) < wanted else "damaged (checksum)"


def _masked(data: bytes) -> bytes:
    import google_crc32c

    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _values(feature: Any) -> Feature:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


@lru_cache(maxsize=1)
def _example_class() -> Any:
    """tf.train.Example, in a pool of its own, so that TensorFlow may be loaded beside it.

    The class is made at run time: what fields it has, no type checker can know.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_EXAMPLE_PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("clip4dm.Example"))
