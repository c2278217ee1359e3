// SPDX-License-Identifier: Apache-2.0
// Texts of the page, made by the build.
#pragma once

namespace bitcycle::report {

extern const char* const kPage;       // page.html
extern const char* const kStyle;      // page.css
extern const char* const kPlotStyle;  // plot.css: what a plot takes along as a picture
extern const char* const kScript;     // the scripts, one after the other

}  // namespace bitcycle::report
