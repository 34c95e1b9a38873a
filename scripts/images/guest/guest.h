/* What the two halves of the guest's program share: the cast, who are looked for, and the report, which says what
 * the kernel itself says about them. */
/* One line to the file that becomes the report's section "cast": the program's name, its pid, then the text. */
void publish(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The report, to standard output. */
void report(void);
