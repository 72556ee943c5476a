# ballast_emulate_gpu(TARGET kernels.cu...)   kernels as C++, with the runtime and cuBLASLt of
# tests/support/emulated_gpu.
function(ballast_emulate_gpu target)
  set(emulation "${CMAKE_SOURCE_DIR}/tests/support/emulated_gpu")
  target_include_directories(${target} BEFORE PRIVATE "${emulation}/include")
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_sources(${target} PRIVATE
    "${emulation}/cublas.cc" "${emulation}/runtime.cc" "${emulation}/threads.cc")
  foreach(kernel IN LISTS ARGN)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${kernel}")
    set(translated "${CMAKE_CURRENT_BINARY_DIR}/${kernel}.cc")
    cmake_path(GET translated PARENT_PATH folder)
    file(MAKE_DIRECTORY "${folder}")
    add_custom_command(
      OUTPUT "${translated}"
      COMMAND /usr/bin/python3 "${emulation}/translate.py" "${source}" "${translated}"
      DEPENDS "${source}" "${emulation}/translate.py"
      COMMENT "${kernel} as C++")
    target_sources(${target} PRIVATE "${translated}")
    set_source_files_properties("${translated}" PROPERTIES
      COMPILE_OPTIONS "-include;${emulation}/device.h;-Wno-unknown-pragmas"  # unroll
      OBJECT_DEPENDS "${emulation}/device.h;${emulation}/runtime.h;${emulation}/threads.h")
  endforeach()
endfunction()
