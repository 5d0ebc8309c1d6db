/*
 * does: is an image whose list of users is memory of whoever reads it
 * image: accounts-link
 * user: nobody
 * ends: cannot start
 */
int main(void) { return 2; }
