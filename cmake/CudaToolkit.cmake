# SPDX-License-Identifier: Apache-2.0
# Which CUDA Toolkits are taken: 12.0 or newer, the first with C++20. An older one is refused by name: an error where
# CUDA was asked for (mode ON), a line and a build without it where it was only found (AUTO).
function(bitcycle_take_cuda_toolkit compiler version mode result)
  set(${result} ON PARENT_SCOPE)
  if(NOT version VERSION_LESS 12.0)
    return()
  endif()
  set(${result} OFF PARENT_SCOPE)
  set(old "the CUDA Toolkit at ${compiler} is ${version}; 12.0 or newer is needed (C++20)")
  if(mode STREQUAL "AUTO")
    message(STATUS "Without CUDA: ${old}")
  else()
    message(FATAL_ERROR "${old}; or configure with -DBITCYCLE_CUDA=OFF")
  endif()
endfunction()

# cmake -DCOMPILER=nvcc -DVERSION=11.8 -DMODE=ON -P cmake/CudaToolkit.cmake says what a build would say.
if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  bitcycle_take_cuda_toolkit("${COMPILER}" "${VERSION}" "${MODE}" taken)
  message(STATUS "taken: ${taken}")
endif()
