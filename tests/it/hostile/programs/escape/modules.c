/*
 * does: loads and unloads kernel modules, and kernels
 */
int main(void) {
    char image[64] = "\177ELF";
    int file = open("/tmp/module", O_RDWR | O_CREAT, 0600);
    write(file, image, sizeof image);
    refused("init_module", syscall(SYS_init_module, image, sizeof image, ""), EPERM, 0);
    refused("finit_module", syscall(SYS_finit_module, file, "", 0), EPERM, 0);
    refused("delete_module", syscall(SYS_delete_module, "overlay", 0), EPERM, 0);
    refused("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0), EPERM, 0);
#ifdef SYS_kexec_file_load
    refused("kexec_file_load", syscall(SYS_kexec_file_load, file, -1, 0, NULL, 0), EPERM, 0);
#endif
    return done();
}
