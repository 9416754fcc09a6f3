"""TFRecord files of tf.train.Example, without TensorFlow.

A record is: length (uint64, little endian), its masked CRC-32C (uint32), the data, their masked CRC-32C. Every sum
is checked. The data are a tf.train.Example, read by protobuf through a descriptor made here.
Source: TensorFlow's documented record format and example.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from clip4dm.errors import CLIP4DMError
from clip4dm.files.reading import check_regular

Feature = list[bytes] | list[float] | list[int]
_LARGEST_RECORD = 1 << 31  # protobuf's own limit


class TFRecordError(CLIP4DMError, ValueError):
    """A record file that is cut short or damaged: names the file and the record."""


def read_examples(path: Path) -> Iterator[dict[str, Feature]]:
    """The Examples of a file: feature name -> list of bytes, floats or ints. Errors: TFRecordError, FileError."""
    for number, data in enumerate(_records(Path(path))):
        try:
            example = _example_class().FromString(data)
        except Exception as error:  # protobuf's DecodeError lives in a module that differs between versions
            raise TFRecordError(f"{path}, record {number}: not a tf.train.Example ({error})") from error
        yield {name: _values(feature) for name, feature in example.features.feature.items()}


def write_examples(path: Path, rows: Iterable[Mapping[str, Feature]]) -> None:
    """Write Examples as TensorFlow would. Values: a list of bytes, of floats or of ints for each feature."""
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


def _values(feature) -> Feature:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


@lru_cache(maxsize=1)
def _example_class():
    """tf.train.Example, in a pool of its own, so that TensorFlow may be loaded beside it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="clip4dm_example.proto", package="clip4dm", syntax="proto3")

    def message(parent, name: str, *fields: tuple):
        made = (parent.nested_type if hasattr(parent, "nested_type") else parent.message_type).add(name=name)
        for number, (field_name, kind, repeated, type_name) in enumerate(fields, 1):
            made.field.add(
                name=field_name,
                number=number,
                type=kind,
                type_name=type_name,
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
            )
        return made

    message(file, "BytesList", ("value", field.TYPE_BYTES, True, None))
    message(file, "FloatList", ("value", field.TYPE_FLOAT, True, None))
    message(file, "Int64List", ("value", field.TYPE_INT64, True, None))
    feature = message(
        file,
        "Feature",
        *(
            (name, field.TYPE_MESSAGE, False, f".clip4dm.{kind}")
            for name, kind in (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
        ),
    )
    feature.oneof_decl.add(name="kind")
    for member in feature.field:
        member.oneof_index = 0
    features = message(file, "Features", ("feature", field.TYPE_MESSAGE, True, ".clip4dm.Features.FeatureEntry"))
    entry = message(
        features,
        "FeatureEntry",
        ("key", field.TYPE_STRING, False, None),
        ("value", field.TYPE_MESSAGE, False, ".clip4dm.Feature"),
    )
    entry.options.map_entry = True
    message(file, "Example", ("features", field.TYPE_MESSAGE, False, ".clip4dm.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("clip4dm.Example"))
