// SPDX-License-Identifier: Apache-2.0
// Texts of the page, made by the build.
#pragma once

namespace bitcycle::report {

extern const char* const kPage;         // page.html
extern const char* const kStyle;        // page.css
extern const char* const kPlotStyle;    // plot.css: what a plot takes along as a picture
extern const char* const kPlotScript;   // plot.js: axes, marks, legends
extern const char* const kTableScript;  // tables.js: tables as data; sorting, CSV
extern const char* const kPageScript;   // page.js: the page's plots

}  // namespace bitcycle::report
