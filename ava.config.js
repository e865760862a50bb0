export default {
  files: ['dist/test/**/*.test.js', '!dist/test/helpers/**'],
  timeout: '2m',
  concurrency: 2,
}
