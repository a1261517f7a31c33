/*
 * faults.h - rules that make the local cloud fail
 *
 * faults_around() runs a handler as the rules have it: late, cut short, or with an error in place
 * of its answer. Thread-safe.
 */
#ifndef LOCAL_CLOUD_FAULTS_H
#define LOCAL_CLOUD_FAULTS_H

#include "cloud.h"

struct faults *faults_new(void);
void faults_free(struct faults *f);

void faults_around(const struct request *req, struct response *res, handler *played);

#endif
