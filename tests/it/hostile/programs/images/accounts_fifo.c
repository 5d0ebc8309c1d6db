/*
 * does: is an image whose list of users is a pipe
 * image: accounts-fifo
 * user: nobody
 * ends: cannot start
 */
int main(void) { return 2; }
