/* SPDX-License-Identifier: MIT
 *
 * The description of the REST interface that is served: openapi.json, turned into a string by the build.
 */
#include "service/internal.h"

const char mni_openapi[] =
#include "service/openapi_text.h"
    ;
