"""Protobuf messages made while the tests run, with Google's own library (python3-protobuf), from tables of their fields.

    define({"Point": [("x", 1, "int32"), ("names", 2, "string", True)]})["Point"](x=1)

A field is (name, number, type[, repeated]); the type is one of KINDS or another message of the table. Messages named in
`oneof` are one oneof each.
"""

import importlib.util

MISSING = importlib.util.find_spec("google.protobuf") is None if importlib.util.find_spec("google") else True


def define(table, oneof=()):
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {name: getattr(field, f"TYPE_{name.upper()}")
             for name in ("int64", "int32", "uint32", "fixed32", "fixed64", "bool", "bytes", "double", "string")}
    kinds["enum"] = field.TYPE_INT32
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in table.items():
        made = file.message_type.add(name=name)
        if name in oneof:
            made.oneof_decl.add(name="value_type")
        for title, number, kind, *repeated in fields:
            one = made.field.add(name=title, number=number, label=3 if repeated else 1)
            if kind in kinds:
                one.type = kinds[kind]
            else:
                one.type, one.type_name = field.TYPE_MESSAGE, f".t.{kind}"
            if name in oneof:
                one.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    make = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    return {name: make(pool.FindMessageTypeByName(f"t.{name}")) for name in table}
