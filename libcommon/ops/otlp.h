/*
 * otlp.h - spans as an OTLP ExportTraceServiceRequest, in protobuf or JSON
 *
 * Field numbers and names are those of opentelemetry-proto v1 (collector/trace/v1, trace/v1,
 * common/v1, resource/v1), attributes those of the OpenTelemetry semantic conventions. Written
 * straight from the spans into one buffer: seven small messages need forty lines of wire format,
 * where protobuf-c wants a second copy of every span as a tree of its structs, and would become a
 * library that all fourteen services load. The tests read the result with Google's protobuf.
 */
#ifndef LIBCOMMON_OPS_OTLP_H
#define LIBCOMMON_OPS_OTLP_H

#include "base/buf.h"
#include "base/trace.h"

enum otlp_encoding { OTLP_PROTOBUF, OTLP_JSON };

/* Who the spans are from; static or living as long as the process. */
struct otlp_resource {
    const char *service, *version, *environment, *project, *tenant;
};

const char *otlp_content_type(enum otlp_encoding encoding);

/* Appends. False when out is full. */
bool otlp_write(struct buf *out, enum otlp_encoding encoding, const struct otlp_resource *resource,
                const struct span *spans, size_t count);

#endif
